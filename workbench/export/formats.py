"""The formats that data leave in: what each can hold, and what its rows look like."""

from dataclasses import dataclass
from typing import Literal, get_args

from pipelines.errors import BadInput

FormatName = Literal["trl", "jsonl", "parquet", "hf-folder", "kto", "pairs"]
FORMS = ("auto", "standard", "conversational")
FORMAT_NAMES: tuple[FormatName, ...] = get_args(FormatName)


@dataclass(frozen=True)
class Format:
    """One output format."""

    name: FormatName
    shape: Literal["chosen", "completion", "ab", "pairs"]
    container: Literal["jsonl", "parquet"]
    folder: bool
    ties: tuple[str, ...]  # tie policies that its rows can hold
    drops_identical: bool  # the default for pairs whose responses are the same text
    about: str


FORMATS: dict[FormatName, Format] = {
    "trl": Format(
        "trl", "chosen", "jsonl", False, ("drop", "half"), True,
        "TRL preference rows (prompt, chosen, rejected) as JSON Lines, for DPO and reward models",
    ),
    "kto": Format(
        "kto", "completion", "jsonl", False, ("drop",), True,
        "TRL unpaired rows (prompt, completion, label) as JSON Lines, for KTO; two rows a pair",
    ),
    "hf-folder": Format(
        "hf-folder", "chosen", "parquet", True, ("drop", "half"), True,
        "a data set folder for Hugging Face datasets: Parquet under data/ and a data card",
    ),
    "jsonl": Format(
        "jsonl", "ab", "jsonl", False, ("drop", "keep", "half"), False,
        "every column (prompt, response_a, response_b, label, ...) as JSON Lines",
    ),
    "parquet": Format(
        "parquet", "ab", "parquet", False, ("drop", "keep", "half"), False,
        "every column (prompt, response_a, response_b, label, ...) as Parquet",
    ),
    "pairs": Format(
        "pairs", "pairs", "jsonl", False, ("keep",), False,
        "the pairs file with the human labels merged; it can be imported again",
    ),
}  # fmt: skip


def format_named(name: str) -> Format:
    """The format of that name.

    Raises:
        BadInput: There is none; the message lists those that there are.
    """
    for known in FORMAT_NAMES:
        if known == name:
            return FORMATS[known]
    raise BadInput(f'format "{name}" is not one of {", ".join(FORMAT_NAMES)}')


def check_ties(fmt: Format, ties: str) -> None:
    """Refuse a tie policy whose rows the format cannot hold."""
    if ties not in fmt.ties:
        possible = " or ".join(f"--ties {policy}" for policy in fmt.ties)
        raise BadInput(f"a {fmt.name} row cannot hold ties as --ties {ties} asks; use {possible}")

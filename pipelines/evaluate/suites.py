"""Suites: what else a policy is tried on. Data files: `suites/NAME.toml`, shipped or one's own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipelines.constitution.measure import refuses
from pipelines.errors import BadInput
from pipelines.evaluate.outcomes import Outcome
from pipelines.generate.records import Candidate, text_hash
from pipelines.judge.rules import PairViolations
from pipelines.records import PreferencePair, Record
from pipelines.sandbox.annotators import situation_in
from pipelines.sandbox.scoring import PRINCIPLES, applies, faults
from pipelines.toml_files import read_toml

Measure = Literal["answers", "refuses", "check", "sandbox"]

FAILED = "the response failed"
NOT_SANDBOX = "no prompt of the sandbox"
UNCHECKED = "not checked: the judge failed, or both policies said the same"
NO_PRINCIPLE = "leaves no room to break it"


class Suite(Record):
    """A suite.

    Attributes:
        title: As pages and reports call it.
        about: One or two sentences: what a number means.
        share_of: What the share is of ("attacks that succeed").
        prompts: A prompt set that ships, or a file (beside this one, or of the project); empty for
            the evaluation's own prompts.
        measure: "answers": the response does not refuse (by its words); "refuses": it does;
            "check": it breaks a principle, as the project's judge of mode check says; "sandbox": it
            breaks one, as the sandbox's rules say.
        principles: Of the last two: which count; all when empty.
        by: What the share is cut by: the prompts' subset, or the principles.
        subsets: Only prompts of these subsets; all when empty.
        expected: Only prompts whose `meta.expected` is one of these; all when empty.
        lower_is_better: Whether a lower share is better.
    """

    title: Annotated[str, Field(min_length=1)]
    about: Annotated[str, Field(min_length=1)]
    share_of: Annotated[str, Field(min_length=1)]
    prompts: str = ""
    measure: Measure
    principles: tuple[str, ...] = ()
    by: Literal["category", "principle"] = "category"
    subsets: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    lower_is_better: bool = True


def load_suite(name: str, folders: Sequence[Path]) -> tuple[Suite, Path]:
    """A suite and its file.

    Args:
        name: A file, or the name of a suite in a folder `suites`.
        folders: Where it is looked up, in order: the project's folder, then the program's `data`.

    Raises:
        BadInput: There is none, or its file is wrong.
    """
    tried = [Path(name), *(one / name for one in folders)]
    tried += [one / "suites" / f"{name}.toml" for one in folders]
    for path in tried:
        if path.is_file():
            return read_toml(path, Suite, "a suite"), path
    raise BadInput(f'no suite "{name}"; there are: {", ".join(suite_names(folders))}')


def suite_names(folders: Sequence[Path]) -> list[str]:
    """The suites in these folders, by name."""
    return sorted({path.stem for one in folders for path in (one / "suites").glob("*.toml")})


def belongs(suite: Suite, subset: str | None, meta: Mapping[str, object]) -> bool:
    """Whether a prompt is one of the suite's."""
    if suite.subsets and (subset or "") not in suite.subsets:
        return False
    return not suite.expected or meta.get("expected") in suite.expected


def outcomes_of_texts(
    suite: Suite, candidates: Iterable[Candidate], left_out: dict[str, int]
) -> list[Outcome]:
    """The outcomes that a response's own words decide: of all measures but "check".

    Args:
        suite: Which.
        candidates: Of all policies.
        left_out: Added to: why responses have no outcome.
    """
    found: list[Outcome] = []
    for one, response in _answered(suite, candidates, left_out):
        if suite.measure == "sandbox":
            found += _in_sandbox(suite, one, response, left_out)
        else:
            hit = refuses(response) == (suite.measure == "refuses")
            found.append(Outcome.of(one, one.subset or "", hit))
    return found


def outcomes_of_checks(
    suite: Suite,
    candidates: Iterable[Candidate],
    checked: "Checked",
    left_out: dict[str, int],
) -> list[Outcome]:
    """The outcomes that a judge of mode check decides.

    Args:
        suite: Which.
        candidates: Of all policies.
        checked: What each response breaks.
        left_out: Added to.
    """
    wanted = suite.principles or checked.principles
    found: list[Outcome] = []
    for one, response in _answered(suite, candidates, left_out):
        broken = checked.broken.get((text_hash(one.prompt), response))
        if broken is None:
            left_out[UNCHECKED] = left_out.get(UNCHECKED, 0) + 1
            continue
        found += _by_principle(suite, one, broken, wanted)
    return found


class Checked:
    """What a check judge said of each response, by (prompt, response)."""

    def __init__(self, principles: Sequence[str]):
        self.principles = tuple(principles)
        self.broken: dict[tuple[str, str], frozenset[str]] = {}

    def add(self, pair: PreferencePair, violations: PairViolations) -> None:
        """Both responses of a pair. Checked several times, a response is as at first."""
        key = text_hash(pair.prompt)
        for response, broken in ((pair.response_a, violations.a), (pair.response_b, violations.b)):
            self.broken.setdefault((key, response), frozenset(one.principle for one in broken))


def _answered(
    suite: Suite, candidates: Iterable[Candidate], left_out: dict[str, int]
) -> Iterator[tuple[Candidate, str]]:
    """The suite's candidates with what they say; those that failed are counted."""
    for one in candidates:
        if not belongs(suite, one.subset, one.meta):
            continue
        if one.failure is not None or one.response is None:
            left_out[FAILED] = left_out.get(FAILED, 0) + 1
        else:
            yield one, one.response


def _in_sandbox(
    suite: Suite, one: Candidate, response: str, left_out: dict[str, int]
) -> list[Outcome]:
    situation = situation_in(one.prompt)
    if situation is None:
        left_out[NOT_SANDBOX] = left_out.get(NOT_SANDBOX, 0) + 1
        return []
    wanted = [id for id in suite.principles or PRINCIPLES if applies(situation, id)]
    if not wanted:
        left_out[NO_PRINCIPLE] = left_out.get(NO_PRINCIPLE, 0) + 1
        return []
    return _by_principle(suite, one, frozenset(faults(situation, response)), wanted)


def _by_principle(
    suite: Suite, one: Candidate, broken: frozenset[str], wanted: Sequence[str]
) -> list[Outcome]:
    """A row for each principle; or one for the response, which counts when it breaks any."""
    if suite.by == "principle":
        return [Outcome.of(one, id, id in broken) for id in wanted]
    return [Outcome.of(one, one.subset or "", any(id in broken for id in wanted))]

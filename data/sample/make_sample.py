"""Make the sample again from `source/`: pairs.jsonl, labels.jsonl and truth.json, byte for byte.

The texts in `source/` were written by hand, each pair as a better and a worse response (or two
equal ones). Everything else is simulated here from a fixed seed: which response stands as A, two AI
judges and three annotators. Run it as `python data/sample/make_sample.py`.
"""

import json
import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

from pipelines.errors import BadInput
from pipelines.records import HumanLabel, PreferencePair

FOLDER = Path(__file__).resolve().parent
SEED = "rlaif-workbench sample 1"

STRONG, FIRST = "simulated-judge-strong", "simulated-judge-first"
WRITERS = ("simulated-writer-1", "simulated-writer-2")
WRITER_1_WINS = 0.65

# The strong judge errs in this share of the decisive pairs, by complexity.
STRONG_ERROR = {"simple": 0.07, "medium": 0.12, "complex": 0.20}
# The other judge is right with these probabilities: length sways it ...
FIRST_RIGHT = {"better is longer": 0.82, "about equal": 0.66, "better is shorter": 0.45}
LONGER_BY = 1.25
# ... and in this share of the pairs it takes what it reads first, in either order.
FIRST_TAKES_FIRST = 0.40
FIRST_FAILURES: dict[str, float] = {"unparsed": 0.04, "truncated": 0.01}

Label = Literal["A", "B", "tie"]


@dataclass(frozen=True)
class Annotator:
    """A simulated person: how often right on a decisive pair, and how quick."""

    name: str
    right: float  # on pairs of medium complexity
    calls_a_tie: float  # share of equal pairs that are called a tie
    pace: float  # seconds for 500 characters
    comments: float  # share of right verdicts that come with a note
    cannot_read: tuple[str, ...] = ()


ANNOTATORS = (
    Annotator("simulated-ana", right=0.95, calls_a_tie=0.75, pace=11.0, comments=0.05),
    Annotator(
        "simulated-ben", right=0.88, calls_a_tie=0.50, pace=6.0, comments=0.0, cannot_read=("ar",)
    ),
    Annotator("simulated-chi", right=0.92, calls_a_tie=0.65, pace=19.0, comments=0.15),
)
EASIER = {"simple": 0.02, "medium": 0.0, "complex": -0.04}

# Rationales in the pair's language: a right verdict quotes the author's note on the worse response.
BECAUSE = {
    "en": "Response {better} is better: the other one {note}.",
    "de": "Antwort {better} ist besser: Die andere {note}.",
    "zh": "回答{better}更好：另一个{note}。",
    "ar": "الإجابة {better} أفضل، فالأخرى: {note}.",
}
EQUAL = {
    "en": "Hardly any difference: {note}.",
    "de": "Kaum ein Unterschied: {note}.",
    "zh": "差别很小：{note}。",
    "ar": "لا فرق يُذكر: {note}.",
}
WRONG = {
    "en": ("gives more of what a reader needs", "reads more naturally", "is clearer on the point"),
    "de": ("klingt natürlicher", "ist hilfreicher", "trifft den Ton besser"),
    "zh": ("读起来更自然", "对读者更有帮助", "表达更清楚"),
    "ar": ("أوضح للقارئ", "أكثر فائدة", "أقرب إلى المطلوب"),
}
WRONG_FRAME = {
    "en": "Response {better} {why}.",
    "de": "Antwort {better} {why}.",
    "zh": "回答{better}{why}。",
    "ar": "الإجابة {better} {why}.",
}
RAW = {
    "unparsed": "Both responses have their merits, and I would like to point out that",
    "truncated": "Let me compare the two step by step. First, the",
}


@dataclass(frozen=True)
class Written:
    """One pair as its author wrote it. `even` pairs have no better response."""

    id: str
    prompt: str | list[dict[str, str]]
    better: str
    worse: str
    even: bool
    note: str  # what is wrong with the worse one, or how the two compare
    subset: str
    complexity: str
    language: str
    tags: tuple[str, ...]


def main() -> None:
    """Write the three files beside this script."""
    for name, text in make().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
        print(f"{name}: {len(text.encode()):,} bytes")


def make() -> dict[str, str]:
    """The content of each file by its name."""
    pairs: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    truth: dict[str, Label] = {}
    for written in read_source():
        pair, verdict = make_pair(written)
        PreferencePair.model_validate(pair)
        pairs.append(pair)
        labels += [{"pair_id": written.id, **said} for said in human_labels(written, verdict)]
        truth[written.id] = verdict
    return {
        "pairs.jsonl": "".join(_line(pair) for pair in pairs),
        "labels.jsonl": "".join(_line(label) for label in labels),
        "truth.json": json.dumps({"author_verdict": truth}, indent=0) + "\n",
    }


def make_pair(written: Written) -> tuple[dict[str, Any], Label]:
    """One row of the pairs file, and the author's verdict on it."""
    better_is_a = _chance(written.id, "side") < 0.5
    a, b = (written.better, written.worse) if better_is_a else (written.worse, written.better)
    verdict: Label = "tie" if written.even else "A" if better_is_a else "B"
    better_writer = WRITERS[_chance(written.id, "writer") >= WRITER_1_WINS]
    other_writer = WRITERS[better_writer == WRITERS[0]]
    model_a, model_b = (better_writer, other_writer)[:: 1 if better_is_a else -1]
    meta: dict[str, Any] = {"complexity": written.complexity, "language": written.language}
    if written.tags:
        meta["tags"] = list(written.tags)
    pair = {
        "id": written.id,
        "prompt": written.prompt,
        "response_a": a,
        "response_b": b,
        "model_a": model_a,
        "model_b": model_b,
        "ai": [*strong_judge(written, verdict), *first_judge(written, verdict, len(a) - len(b))],
        "source": "rlaif-workbench sample",
        "subset": written.subset,
        "meta": meta,
    }
    return pair, verdict


def strong_confidence(pair_id: str, complexity: str) -> float:
    """With what probability the strong judge is right on a decisive pair: a half to nearly one.

    1 - u^p / 2 has the mean 1 - STRONG_ERROR and most of its mass near one. The judge reports
    this number as its confidence, so it is calibrated.
    """
    power = 0.5 / STRONG_ERROR[complexity] - 1
    confidence = 1 - 0.5 * math.pow(_chance(pair_id, "strong confidence"), power)
    return round(min(max(confidence, 0.51), 0.985), 3)


def strong_judge(written: Written, verdict: Label) -> Iterator[dict[str, Any]]:
    """A calibrated judge without position bias; both orders, which differ by noise only."""
    if verdict == "tie":
        sure = 0.5 if _chance(written.id, "strong tie") < 0.5 else 0.52
        label: Label = "A" if _chance(written.id, "strong side") < 0.5 else "B"
    else:
        sure = strong_confidence(written.id, written.complexity)
        right = _chance(written.id, "strong right") < sure
        label = verdict if right else _other(verdict)
    p_a = sure if label == "A" else 1 - sure
    noise = min(0.03, p_a, 1 - p_a) * (2 * _chance(written.id, "strong noise") - 1)
    if sure == 0.5:
        noise = 0.0
    noise = round(noise, 3)
    words = {"better": label, "note": written.note}
    if verdict == "tie":
        rationale = EQUAL[written.language].format(**words)
    elif label == verdict:
        rationale = BECAUSE[written.language].format(**words)
    else:
        reasons = WRONG[written.language]
        why = reasons[int(_chance(written.id, "strong why") * len(reasons))]
        rationale = WRONG_FRAME[written.language].format(better=label, why=why)
    for order, p in (("ab", p_a + noise), ("ba", p_a - noise)):
        p = round(p, 3)
        yield {
            "judge": STRONG,
            "order": order,
            "label": "tie" if p == 0.5 else "A" if p > 0.5 else "B",
            "p_a": p,
            "rationale": rationale,
        }


def first_right(n_better: int, n_worse: int) -> float:
    """With what probability the other judge's combined label is right on a decisive pair.

    Args:
        n_better: Characters of the better response.
        n_worse: Characters of the worse one.
    """
    if n_better > LONGER_BY * n_worse:
        return FIRST_RIGHT["better is longer"]
    if n_worse > LONGER_BY * n_better:
        return FIRST_RIGHT["better is shorter"]
    return FIRST_RIGHT["about equal"]


def first_judge(written: Written, verdict: Label, a_longer_by: int) -> Iterator[dict[str, Any]]:
    """A judge that prefers what it reads first and what is longer, always sure, at times mute."""
    if verdict == "tie":
        prefers_longer = _chance(written.id, "first length") < 0.75
        taken: Label = "A" if (a_longer_by > 0) == prefers_longer else "B"
    else:
        right = first_right(len(written.better), len(written.worse))
        taken = verdict if _chance(written.id, "first right") < right else _other(verdict)
    biased = _chance(written.id, "first bias") < FIRST_TAKES_FIRST
    for order in ("ab", "ba"):
        draw, failure = _chance(written.id, f"first fails {order}"), None
        for name, rate in FIRST_FAILURES.items():
            if draw < rate and failure is None:
                failure = name
            draw -= rate
        if failure:
            yield {"judge": FIRST, "order": order, "failure": failure, "raw": RAW[failure]}
            continue
        shown_first: Label = "A" if order == "ab" else "B"
        label = shown_first if biased else taken
        # Sure of itself either way, a little more where position and content point the same way.
        low, high = (0.93, 0.99) if label == taken else (0.84, 0.91)
        sure = low + (high - low) * _chance(written.id, f"first sure {order}")
        p_a = round(sure if label == "A" else 1 - sure, 2)
        yield {"judge": FIRST, "order": order, "label": label, "p_a": p_a}


def human_labels(written: Written, verdict: Label) -> Iterator[dict[str, Any]]:
    """What the simulated people say of one pair; nobody labels a language they cannot read."""
    n_chars = len(written.better) + len(written.worse)
    for person in ANNOTATORS:
        if written.language in person.cannot_read:
            continue
        draw = _chance(written.id, person.name)
        if verdict == "tie":
            side: Label = "A" if _chance(written.id, f"{person.name} side") < 0.5 else "B"
            label: Label = "tie" if draw < person.calls_a_tie else side
        else:
            right = person.right + EASIER[written.complexity]
            # Of the errors, a third are "tie".
            label = verdict if draw < right else "tie" if draw < right + (1 - right) / 3 else "B"
            if draw >= right and label != "tie":
                label = _other(verdict)
        spread = math.exp(0.35 * _normal(written.id, f"{person.name} pace"))
        seconds = person.pace * (0.35 + n_chars / 500) * spread
        said: dict[str, Any] = {"annotator": person.name, "label": label}
        notable = label == verdict != "tie" and written.language == "en"
        if notable and _chance(written.id, f"{person.name} notes") < person.comments:
            said["comment"] = f"The other one {written.note}."
        said["seconds"] = round(seconds, 1)
        HumanLabel.model_validate(said)
        yield said


def read_source(folder: Path = FOLDER / "source") -> list[Written]:
    """All pairs of the source files, in their order.

    Raises:
        BadInput: A file does not follow the form that `README.md` describes.
    """
    return [pair for path in sorted(folder.glob("*.txt")) for pair in _read_file(path)]


_MARK = re.compile(r"@(system|user|assistant|good|bad|even)(?: (.+))?")
_COMPLEXITIES = ("simple", "medium", "complex")


def _read_file(path: Path) -> Iterator[Written]:
    _, *entries = re.split(r"^=== ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for entry in entries:
        head, _, body = entry.partition("\n")
        key, subset, complexity, *more = [part.strip() for part in head.split("|")]
        if complexity not in _COMPLEXITIES:
            raise BadInput(f"{path.name}: {key} has complexity {complexity!r}; use {_COMPLEXITIES}")
        tags = tuple(tag for tag in more if not tag.startswith("lang="))
        language = next((tag.removeprefix("lang=") for tag in more if tag not in tags), "en")
        blocks = list(_blocks(body))
        turns = [{"role": kind, "content": text} for kind, _, text in blocks if kind in _ROLES]
        rest = [block for block in blocks if block[0] not in _ROLES]
        prompt = turns[0]["content"] if len(turns) == 1 else turns
        for number, (one, two) in enumerate(zip(rest[::2], rest[1::2], strict=True), start=1):
            even = one[0] == "even"
            note = one[1] if even else two[1]
            if (one[0], two[0]) not in (("good", "bad"), ("even", "even")) or not note:
                raise BadInput(f"{path.name}: pair {number} of {key} is not a pair with a note")
            yield Written(
                id=f"{key}-{number}",
                prompt=prompt,
                better=one[2],
                worse=two[2],
                even=even,
                note=note,
                subset=subset,
                complexity=complexity,
                language=language,
                tags=tags,
            )


_ROLES = ("system", "user", "assistant")


def _blocks(body: str) -> Iterator[tuple[str, str, str]]:
    """The marked blocks of an entry: kind, the rest of the mark's line, text."""
    kind, note, lines = "", "", list[str]()
    for line in body.split("\n"):
        mark = _MARK.fullmatch(line)
        if mark is None:
            lines.append(line)
            continue
        if kind:
            yield kind, note, "\n".join(lines).strip()
        kind, note, lines = mark[1], mark[2] or "", []
    yield kind, note, "\n".join(lines).strip()


def _other(label: Label) -> Label:
    return "B" if label == "A" else "A"


def _chance(pair_id: str, what: str) -> float:
    """A number in [0, 1) that depends on nothing but the seed, the pair and what it is for.

    Adding a pair changes no other pair; Python guarantees this generator's output for ever.
    """
    return random.Random(f"{SEED}|{pair_id}|{what}").random()


def _normal(pair_id: str, what: str) -> float:
    return NormalDist().inv_cdf(min(max(_chance(pair_id, what), 1e-9), 1 - 1e-9))


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()

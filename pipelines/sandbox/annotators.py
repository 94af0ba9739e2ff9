"""Simulated people who label pairs of the sandbox from the truth, with the faults one sets.

They only make up their minds here; `workbench.simulated` seats them at the queue that people use.
"""

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, fields

from pipelines.errors import BadInput
from pipelines.records import SWAPPED_LABEL, HumanLabel, Label, Message, PreferencePair
from pipelines.sandbox.grammar import Situation, find_situation
from pipelines.sandbox.scoring import true_preference

_SPREAD = 0.4  # of the logarithm of the seconds that a pair takes
_LEAST = 0.5  # accuracy that fatigue leaves: that of a coin


@dataclass(frozen=True)
class Traits:
    """How one simulated person labels.

    On a pair they first may skip it; else they may take a side by where it stands or by its length;
    else they look, and are right with their accuracy.

    Attributes:
        accuracy: The probability of the true label when they look, in [0, 1].
        position_bias: The probability of taking the left response without looking; below 0, the
            right one.
        length_bias: The probability of taking the longer response without looking; below 0, the
            shorter one. Responses of equal length are looked at.
        tie_share: The share of wrong labels on pairs that are no tie which say "tie".
        seconds: The median time that a pair takes.
        fatigue: What accuracy loses per 100 pairs done, down to 0.5.
        skip_rate: The probability of skipping a pair.
    """

    accuracy: float = 0.9
    position_bias: float = 0.0
    length_bias: float = 0.0
    tie_share: float = 0.2
    seconds: float = 8.0
    fatigue: float = 0.0
    skip_rate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("accuracy", "tie_share", "skip_rate", "fatigue"):
            self._check(name, 0.0, 1.0)
        for name in ("position_bias", "length_bias"):
            self._check(name, -1.0, 1.0)
        if abs(self.position_bias) + abs(self.length_bias) > 1.0:
            raise BadInput(
                "position_bias and length_bias of a simulated annotator add up to more than 1; "
                "lower one"
            )
        if not (math.isfinite(self.seconds) and self.seconds >= 0.0):
            raise BadInput(f"seconds is {self.seconds}, it must be 0 or more")

    def _check(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not low <= value <= high:
            raise BadInput(f"{name} is {value}, it must lie between {low:g} and {high:g}")

    def accuracy_after(self, n_done: int) -> float:
        """Accuracy when this many pairs are done."""
        tired = self.accuracy - self.fatigue * n_done / 100.0
        return max(min(_LEAST, self.accuracy), tired)


# Three qualities, for the demo and the self-test.
QUALITIES: dict[str, Traits] = {
    "careful": Traits(accuracy=0.95, seconds=12.0),
    "average": Traits(accuracy=0.85, seconds=8.0, skip_rate=0.02),
    "hasty": Traits(accuracy=0.75, position_bias=0.1, length_bias=0.05, seconds=4.0, fatigue=0.1),
}


@dataclass(frozen=True)
class Annotator:
    """One simulated person.

    The same person says the same of the same pair shown the same way after as many others; another
    seed is another mind of the same traits.
    """

    name: str
    traits: Traits
    seed: int = 0

    def label(self, pair: PreferencePair, left: str, n_done: int) -> HumanLabel | None:
        """What they say of a pair; None where they skip it, or where it is none of the sandbox's.

        Args:
            pair: The pair; the last customer's message in its prompt is the one replied to.
            left: The response on the left, "A" or "B".
            n_done: Pairs that they labelled before.
        """
        situation = situation_in(pair.prompt)
        if situation is None:
            return None
        rng = self._chance(pair)
        seconds = self.traits.seconds * math.exp(rng.gauss(0.0, _SPREAD))
        if rng.random() < self.traits.skip_rate:
            return None
        label = self._decide(situation, pair, left, n_done, rng)
        return HumanLabel(annotator=self.name, label=label, seconds=round(seconds, 1))

    def _decide(
        self, situation: Situation, pair: PreferencePair, left: str, n_done: int, rng: random.Random
    ) -> Label:
        traits, u = self.traits, rng.random()
        on_left: Label = "A" if left == "A" else "B"
        if u < abs(traits.position_bias):
            return on_left if traits.position_bias > 0 else SWAPPED_LABEL[on_left]
        longer = len(pair.response_a) - len(pair.response_b)
        if u < abs(traits.position_bias) + abs(traits.length_bias) and longer != 0:
            return "A" if longer * traits.length_bias > 0 else "B"
        best = true_preference(situation, pair.response_a, pair.response_b)
        if rng.random() < traits.accuracy_after(n_done):
            return best
        if best == "tie":
            return rng.choice(("A", "B"))
        return "tie" if rng.random() < traits.tie_share else SWAPPED_LABEL[best]

    def _chance(self, pair: PreferencePair) -> random.Random:
        digest = hashlib.sha256(f"{self.seed}|{self.name}|{pair.text_hash()}".encode())
        return random.Random(digest.digest())


def situation_in(prompt: str | tuple[Message, ...]) -> Situation | None:
    """What the customer of a prompt says last; None where it is none of the sandbox's."""
    if isinstance(prompt, str):
        return find_situation(prompt)
    said = [message.content for message in prompt if message.role == "user"]
    return find_situation(said[-1]) if said else None


def parse_annotators(descriptions: Sequence[str], seed: int = 0) -> list[Annotator]:
    """Simulated people from words, such as "careful" or "accuracy=0.9,position_bias=0.2".

    Each is named by its place and quality; traits that are not named are those of `Traits`.

    Raises:
        BadInput: There is no such quality or trait, or a value is none that it may have.
    """
    return [
        Annotator(f"simulated-{number}-{_quality(text)}", _traits(text), seed)
        for number, text in enumerate(descriptions, 1)
    ]


def _quality(text: str) -> str:
    return text if text in QUALITIES else "person"


def _traits(text: str) -> Traits:
    if text in QUALITIES:
        return QUALITIES[text]
    known = [each.name for each in fields(Traits)]
    values: dict[str, float] = {}
    for part in text.split(","):
        name, is_set, value = (piece.strip() for piece in part.partition("="))
        if not is_set or name not in known:
            raise BadInput(
                f'"{part.strip()}" is no simulated annotator; write {", ".join(QUALITIES)}, or '
                f"traits as accuracy=0.9,position_bias=0.1 ({', '.join(known)})"
            )
        try:
            values[name] = float(value)
        except ValueError:
            raise BadInput(f'{name} is "{value}", it must be a number') from None
    return Traits(**values)

"""How a simulated judge sees replies and compares them: pure functions of traits and texts.

What is planted is exact. A judge sees each principle rightly with the probability of its skill; it
prefers a reply with the logit of a Bradley-Terry model of the scores that it sees; and it states as
its confidence the very probability that its preference is right, unless it is miscalibrated.
"""

import math
import random
from dataclasses import dataclass
from functools import cache, lru_cache

from pipelines.sandbox.chance import draw
from pipelines.sandbox.grammar import Role, Situation, draw_reply, draw_situation, read_sentences
from pipelines.sandbox.scoring import (
    ORDER,
    PRINCIPLES,
    SECRET,
    WEIGHTS,
    applies,
    score,
    truth,
)
from pipelines.sandbox.traits import JudgeTraits

# The pairs on which `accuracy` is meant: two replies of a policy that keeps a principle in 65%.
STANDARD_SKILL = 0.65
_N_STANDARD = 3000
# The sentences that can break each principle; those of "private" and "honest" are known otherwise.
_AT_FAULT: dict[str, tuple[Role | None, ...]] = {
    "polite": ("rude",),
    "helpful": ("remedy", "idle"),
    "private": (),
    "harmless": ("obey",),
    "open": ("refuse",),
    "fluent": (None,),
}
_SUREST = 8.0  # logit; no stated confidence exceeds .9997


@dataclass(frozen=True)
class Judge:
    """A simulated model with what all its draws hang on."""

    traits: JudgeTraits
    name: str = "simulated-judge"
    seed: int = 0

    def draw(self, *about: object) -> float:
        """A number in [0, 1) of this judge's own."""
        return draw(self.seed, self.name, *about)


def sees_kept(judge: Judge, situation: Situation, reply: str, principle: str) -> bool:
    """Whether the judge holds that a reply keeps a principle: the truth, with its skill.

    A fault that is missed stays missed while its sentence stands, whatever else of the reply is
    revised: so a critic of skill s ever finds the share s of the faults.
    """
    kept = _score(situation, reply)[principle]
    skill = judge.traits.skill_in(principle)
    if skill >= 1.0 or not applies(situation, principle):
        return kept
    about = (situation.text, principle, reply if kept else _fault(reply, principle))
    return kept if judge.draw("sees", *about) < skill else not kept


def utility(judge: Judge, situation: Situation, reply: str) -> float:
    """How good a reply is in the judge's eyes, in units of the sandbox's weights."""
    factors = judge.traits.weights
    return sum(
        weight * factors.get(principle, 1.0)
        for principle, weight in WEIGHTS.items()
        if sees_kept(judge, situation, reply, principle)
    )


def preference_logit(
    judge: Judge, situation: Situation, first: str, second: str, principle: str | None = None
) -> float:
    """Logit of preferring the first reply, before its place counts.

    Args:
        judge: Who judges.
        situation: The customer's message.
        first: The reply shown first.
        second: The other.
        principle: Only by this principle; all of them when None.
    """
    traits = judge.traits
    if principle is None:
        gap = utility(judge, situation, first) - utility(judge, situation, second)
        logit = sharpness(traits.accuracy) * gap
    else:
        sees = [sees_kept(judge, situation, reply, principle) for reply in (first, second)]
        factor = math.copysign(1.0, weight) if (weight := traits.weights.get(principle, 1)) else 0
        logit = factor * (sees[0] - sees[1]) * _logit(traits.accuracy)
    logit += traits.length_bias * (math.log1p(len(first)) - math.log1p(len(second)))
    if traits.phrase:
        logit += traits.self_preference * ((traits.phrase in first) - (traits.phrase in second))
    return logit


def p_first(
    judge: Judge,
    situation: Situation,
    first: str,
    second: str,
    principle: str | None = None,
    occasion: object = "",
) -> float:
    """The probability that the judge states for the first reply: above 1/2, it says the first.

    Args:
        judge: Who judges.
        situation: The customer's message.
        first: The reply shown first.
        second: The other.
        principle: Only by this principle; all of them when None.
        occasion: What tells this question from others about the same two replies (the request);
            it matters to a judge that is not consistent.
    """
    traits = judge.traits
    logit = preference_logit(judge, situation, first, second, principle)
    # The two replies in an order of their own: shown the other way round, the draw is the same.
    swapped = second < first
    about: tuple[object, ...] = (situation.text, *sorted((first, second)), principle)
    if judge.draw("consistent", *about, occasion) >= traits.consistency:
        about = (*about, occasion)
    if judge.draw("place", *about) < abs(traits.position_bias) / 100.0:
        # As sure as of any other verdict, and in both orders: the two cancel out.
        sure = max(abs(logit), _logit(traits.accuracy))
        return _stated(traits, sure if traits.position_bias > 0 else -sure)
    if logit == 0.0:
        return 0.5
    chosen = judge.draw("prefers", *about) < _sigmoid(-logit if swapped else logit)
    return _stated(traits, abs(logit) if chosen != swapped else -abs(logit))


def p_a(judge: Judge, situation: Situation, a: str, b: str, order: str = "ab") -> float:
    """The same, un-swapped: the stated probability that reply a is the better one."""
    if order == "ab":
        return p_first(judge, situation, a, b)
    return 1.0 - p_first(judge, situation, b, a)


def rating(
    judge: Judge, situation: Situation, reply: str, criterion: str, low: int, high: int
) -> int:
    """A grade of one reply alone.

    Its noise is Gumbel's, the same on every criterion, so the better of two grades is the reply
    that a comparison would prefer with the same probability. Each criterion rounds at its own
    point, which leaves fewer ties in their mean.
    """
    traits = judge.traits
    value = utility(judge, situation, reply)
    slope = sharpness(traits.accuracy)
    value += traits.length_bias / slope * math.log1p(len(reply))
    if traits.phrase and traits.phrase in reply:
        value += traits.self_preference / slope
    uniform = max(judge.draw("grade", situation.text, reply), 1e-12)
    value -= math.log(-math.log(uniform)) / slope
    # From the worst score of all to the best, with room for the noise at both ends.
    reach = sum(WEIGHTS.values())
    place = min(max(value / reach, 0.0), 1.0) * (high - low)
    return min(high, low + math.floor(place + judge.draw("rounds", criterion)))


@cache
def sharpness(accuracy: float) -> float:
    """The slope, per unit of score, at which a judge is right on this share of decisive pairs."""
    if accuracy >= 1.0:
        return 100.0
    low, high = 0.0, 100.0
    while high - low > 1e-6:
        middle = (low + high) / 2.0
        gaps = standard_gaps()
        right = sum(_sigmoid(middle * gap) for gap in gaps) / len(gaps)
        low, high = (middle, high) if right < accuracy else (low, middle)
    return max(low, 1e-6)


@cache
def standard_gaps() -> tuple[float, ...]:
    """True score gaps of decisive pairs of two replies of the standard policy, all above 0."""
    source = random.Random(0)
    gaps: list[float] = []
    while len(gaps) < _N_STANDARD:
        situation = draw_situation(source)
        a, b = (truth(situation, draw_reply(situation, source, STANDARD_SKILL)) for _ in "ab")
        if a != b:
            gaps.append(abs(a - b))
    return tuple(gaps)


def found_faults(judge: Judge, situation: Situation, reply: str) -> tuple[str, ...]:
    """The principles that a reply breaks in the judge's eyes."""
    return tuple(one for one in PRINCIPLES if not sees_kept(judge, situation, reply, one))


@lru_cache(maxsize=4096)  # each principle asks about the same two replies
def _score(situation: Situation, reply: str) -> dict[str, bool]:
    return score(situation, reply)


def _fault(reply: str, principle: str) -> str:
    """What of a reply breaks a principle, in words that no other revision changes.

    The sentences that are at fault, whatever stands around them; of a wrong order number the number
    alone, since a better remedy is another sentence with the same number; and order numbers count
    for nothing else. A fault of leaving something out has no words.
    """
    if principle == "honest":
        return " ".join(sorted(set(ORDER.findall(reply))))
    at_fault = [
        one.text
        for one in read_sentences(reply)
        if one.role in _AT_FAULT[principle] or (principle == "private" and SECRET.search(one.text))
    ]
    return ORDER.sub("", " ".join(at_fault))


def _stated(traits: JudgeTraits, logit: float) -> float:
    """The probability that is stated where the true logit of being right is this."""
    scaled = traits.confidence_slope * logit
    return _sigmoid(max(-_SUREST, min(_SUREST, scaled)))


def _logit(share: float) -> float:
    return _SUREST if share >= 1.0 else math.log(share / (1.0 - share))


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))

"""The questions of `workbench advise`, and from the answers to a recipe.

A question is only asked where its answer can still change the outcome.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelines.errors import BadInput


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        name: As on the command line: `--NAME`.
        text: As it is asked.
        answers: What may be said, and what that means.
    """

    name: str
    text: str
    answers: Mapping[str, str]

    def check(self, answer: str) -> str:
        """The answer, if it is one.

        Raises:
            BadInput: It is none.
        """
        said = answer.strip().lower()
        if said not in self.answers:
            raise BadInput(
                f'"{answer}" is no answer to --{self.name}; say {" or ".join(self.answers)}'
            )
        return said


_YES_NO = {"yes": "", "no": ""}
JUDGE = Question(
    "judge",
    "Which judge can you afford for the labels?",
    {
        "none": "no model but the one that is trained",
        "rating": "a few calls for each prompt: one rating for each answer",
        "pairs": "calls for every pair, in both orders",
    },
)
ATTACKS = Question("attacks", "Is the danger that users make the model do harm?", _YES_NO)
RULES = Question(
    "rules",
    "Are there explicit rules for what is a good answer?",
    {
        "none": "it is a matter of taste",
        "some": "a few, beside matters of taste",
        "all": "they say it all; there are no demonstrations by people",
    },
)
SIMPLE = Question("simplest", "Do you want the simplest way that works?", _YES_NO)
QUALITY = Question(
    "near-rlhf", "Do you need quality near to that of RLHF, whatever it costs?", _YES_NO
)
COMPUTE = Question(
    "compute",
    "What can you train on?",
    {
        "small": "a GPU for an hour or so",
        "large": "a GPU for a day or more: PPO holds four models and samples all the time",
    },
)
COMPLEXITY = Question(
    "complexity",
    "How many moving parts can you bear?",
    {"low": "a few steps", "high": "a reward model and PPO, or several rounds"},
)
CHECKABLE = Question("checkable", "Can a program check whether the rules are kept?", _YES_NO)
MUST_HOLD = Question("must-hold", "Must they hold, whatever reward that costs?", _YES_NO)
QUESTIONS = (
    JUDGE,
    ATTACKS,
    RULES,
    SIMPLE,
    QUALITY,
    COMPUTE,
    COMPLEXITY,
    CHECKABLE,
    MUST_HOLD,
)

Ask = Callable[[Question], str]


@dataclass(frozen=True)
class Advice:
    """A recipe, and why it is this one."""

    recipe: str
    why: tuple[str, ...]
    answers: Mapping[str, str]


def advise(ask: Ask) -> Advice:
    """Ask until the recipe is known.

    Args:
        ask: Gives an answer; it is checked here.

    Raises:
        BadInput: An answer is none.
    """
    answers: dict[str, str] = {}
    why: list[str] = []

    def says(question: Question, *wanted: str) -> bool:
        if question.name not in answers:
            answers[question.name] = question.check(ask(question))
        return answers[question.name] in wanted

    recipe = _recipe(says, why)
    return Advice(recipe, tuple(why), answers)


def _recipe(says: Callable[..., bool], why: list[str]) -> str:
    if says(JUDGE, "none"):
        why.append("no judge labels, so the model judges itself")
        why.append(
            "such a loop rewards the model's own habits: an outside judge is still needed for the "
            "check after each round, on the held-out prompts only"
        )
        return "self-rewarding"
    if says(ATTACKS, "yes"):
        why.append("what counts is how often attacks succeed: it attacks, repairs and repeats")
        why.append("over-refusal is measured beside it, for that is what is paid with")
        return "red-team"
    if says(RULES, "none"):
        return _by_taste(says, why)
    return _by_rules(says, why)


def _by_taste(says: Callable[..., bool], why: list[str]) -> str:
    why.append("there are no rules to go by, so preferences are all that there is to learn from")
    if says(JUDGE, "rating"):
        why.append("N ratings of N answers cost less than N(N-1)/2 comparisons in both orders")
        return "ratings-dpo"
    if says(SIMPLE, "yes"):
        why.append("DPO is the shortest way: no reward model, no sampling while it trains")
        return "rlaif-dpo"
    if not says(QUALITY, "yes"):
        why.append("DPO is cheaper than PPO, and near-RLHF quality is not asked for")
        return "rlaif-dpo"
    if _can_ppo(says, why):
        why.append("a reward model and PPO come nearest to RLHF, and you can pay for them")
        return "rlaif-ppo"
    return "rlaif-dpo"


def _by_rules(says: Callable[..., bool], why: list[str]) -> str:
    if says(SIMPLE, "yes") or says(JUDGE, "rating"):
        why.append("the rules sort the preferences, and no model has to write anything new")
        return "preference-filtering"
    if says(CHECKABLE, "yes") and _can_ppo(says, why):
        if says(MUST_HOLD, "yes"):
            why.append("a bound on violations holds by a price that PPO sets itself")
            return "constrained-ppo"
        why.append("rules that a program checks can be part of the reward, at no call of a model")
        why.append("several weights are tried, so it shows what the rules cost and bring")
        return "reward-shaping"
    if says(RULES, "all") and _can_ppo(says, why):
        why.append("rules say it all: the model's own answers, revised by them, are the lessons")
        why.append("no demonstrations by people are needed")
        return "constitutional-rlaif"
    if says(COMPLEXITY, "high"):
        why.append("taste and rules take turns, as long as a round is better than the one before")
        return "alternating"
    why.append("preferences first; what still breaks a rule is revised and learned from")
    return "rlaif-refined"


def _can_ppo(says: Callable[..., bool], why: list[str]) -> bool:
    if says(COMPUTE, "small"):
        reason = "PPO is left out: there is not the compute"
    elif says(COMPLEXITY, "low"):
        reason = "PPO is left out: it has more moving parts than you can bear"
    else:
        return True
    if reason not in why:
        why.append(reason)
    return False

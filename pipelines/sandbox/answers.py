"""What a simulated model says to each task, in the form that was asked for."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.constitution.parse import Finding, write_critique
from pipelines.judge.parse import Verdict, Winner, write_verdict
from pipelines.sandbox.chance import rng
from pipelines.sandbox.grammar import REPLIES, Situation, draw_reply
from pipelines.sandbox.judges import Judge, found_faults, p_first, rating, sees_kept
from pipelines.sandbox.scoring import WEIGHTS, mend
from pipelines.sandbox.tasks import Alone, Compare, Critique, Generate, Revise, Task

STRANGER = (
    "This is a simulated model. It knows one thing only: messages of customers to the help desk of "
    "the sandbox."
)
REFUSAL = {
    "en": "I'm sorry, but I cannot help with that request.",
    "zh": "抱歉，我无法对此进行评判。",
}
MALFORMED = "Well, on the one hand this, and on the other hand that."
_REASONS = {
    "en": "Simulated reading {number}. {first} {second}",
    "zh": "模拟评判第 {number} 次。{first}{second}",
}
_FAULTS = {
    "en": ("{who} breaks: {faults}.", "{who} breaks nothing that I can see."),
    "zh": ("{who} 违反了：{faults}。", "{who} 没有明显的问题。"),
}
_TIES = {"en": "tie", "zh": "平局"}
_SEVERE, _NONE = {"en": "severe", "zh": "严重"}, {"en": "none", "zh": "无"}
_LEAST = 0.02  # of the probability that goes to tokens that are no answer


@dataclass(frozen=True)
class Answer:
    """A text, or the likeliest first tokens, the first of them being the text.

    `refused` is a refusal where the form leaves no room to say it.
    """

    text: str
    logprobs: tuple[tuple[str, float], ...] = ()
    refused: bool = False


@dataclass(frozen=True)
class Asked:
    """What an answer may hang on besides the task.

    Attributes:
        request: Everything that was sent, as one text.
        sample: What tells samples of a request apart: seed and number; nothing at temperature 0.
        questions: Comparison or critique question -> id of the principle that it asks about.
    """

    request: str
    sample: str
    questions: Mapping[str, str]

    @property
    def occasion(self) -> str:
        """This request and sample, as one key of a draw."""
        return f"{self.request}\n{self.sample}"

    def principle(self, question: str) -> str | None:
        """The principle that a question asks about; None where it asks about all."""
        return next((id for text, id in self.questions.items() if text in question), None)


def answer(judge: Judge, task: Task, asked: Asked) -> Answer:
    """What the model says."""
    traits = judge.traits
    language = task.language if isinstance(task, Compare | Alone) else "en"
    as_logprobs = isinstance(task, Compare) and task.form == "probability"
    chance = judge.draw("fault", asked.occasion)
    if chance < traits.refusal_rate:
        return Answer(REFUSAL[language], refused=as_logprobs)
    if chance < traits.refusal_rate + traits.malformed_rate:
        return _no_answer("Well") if as_logprobs else Answer(MALFORMED)
    if task.situation is None:
        return _no_answer("This") if as_logprobs else Answer(STRANGER)
    if isinstance(task, Generate):
        return Answer(_reply(judge, task.situation, asked))
    if isinstance(task, Critique):
        return Answer(_critique(judge, task.situation, task))
    if isinstance(task, Revise):
        return Answer(_revision(judge, task.situation, task))
    if isinstance(task, Alone):
        return Answer(_alone(judge, task.situation, task, asked))
    return _compare(judge, task.situation, task, asked)


def _reply(judge: Judge, situation: Situation, asked: Asked) -> str:
    """A reply of the model's skill; with a phrase, it closes with that."""
    source = rng(judge.seed, judge.name, "reply", asked.occasion)
    reply = draw_reply(situation, source, judge.traits.skill)
    phrase = judge.traits.phrase
    if not phrase:
        return reply
    for close in REPLIES["close"]:
        if reply.endswith(close):
            return reply.removesuffix(close) + phrase
    return f"{reply} {phrase}" if reply.endswith((".", "?")) else reply


def _critique(judge: Judge, situation: Situation, task: Critique) -> str:
    if task.principle not in WEIGHTS:
        return write_critique(
            Finding("satisfied", "This simulated critic does not know the principle.", "nothing")
        )
    if sees_kept(judge, situation, task.response, task.principle):
        return write_critique(Finding("satisfied", f"It is {task.principle}.", "nothing"))
    return write_critique(
        Finding("violated", f"It is not {task.principle}.", f"Make it {task.principle}.")
    )


def _revision(judge: Judge, situation: Situation, task: Revise) -> str:
    """The response mended with the model's skill; what it cannot mend it never will."""
    if task.principle not in WEIGHTS:
        return task.response
    done = judge.draw("mends", situation.text, task.principle)
    if done >= judge.traits.skill_in(task.principle):
        return task.response
    return mend(situation, task.response, task.principle)


def _alone(judge: Judge, situation: Situation, task: Alone, asked: Asked) -> str:
    zh = task.language == "zh"
    reasons = _faults_of(judge, situation, task.response, "回答" if zh else "It", task.language)
    if task.form == "reasons":
        return reasons
    if task.form == "check":
        principle = asked.principle(task.question)
        kept = principle is None or sees_kept(judge, situation, task.response, principle)
        said = (_NONE if kept else _SEVERE)[task.language]
        line = f"违反：{said}" if zh else f"Violation: {said}"
    else:
        low, high = task.scale
        grade = rating(judge, situation, task.response, task.question, low, high)
        line = f"评分：{grade}" if zh else f"Rating: {grade}"
    return f"{reasons}\n\n{line}" if task.with_reasons else line


def _compare(judge: Judge, situation: Situation, task: Compare, asked: Asked) -> Answer:
    if task.form == "reasons":
        return Answer(_reasons(judge, situation, task, asked))
    principle = asked.principle(task.question)
    # How it is asked does not matter to a consistent judge; to others the request does.
    p = p_first(judge, situation, task.first, task.second, principle, asked.occasion)
    if task.form == "probability":
        shares = ((task.answers[0], p * (1 - _LEAST)), (task.answers[1], (1 - p) * (1 - _LEAST)))
        listed = [*sorted(shares, key=lambda one: -one[1]), ("I", _LEAST / 2), ("The", _LEAST / 2)]
        return Answer(listed[0][0], tuple((token, math.log(share)) for token, share in listed))
    winner: Winner = "tie" if p == 0.5 else "first" if p > 0.5 else "second"
    verdict = Verdict(winner, round(abs(2.0 * p - 1.0), 4))
    said = write_verdict(task.language, task.answers, _TIES[task.language], verdict)
    if task.with_reasons:
        said = f"{_reasons(judge, situation, task, asked)}\n\n{said}"
    return Answer(said)


def _reasons(judge: Judge, situation: Situation, task: Compare, asked: Asked) -> str:
    """The faults that it sees; numbered, so that each sample has reasons of its own."""
    first, second = (
        _faults_of(judge, situation, reply, name, task.language)
        for name, reply in zip(task.answers, (task.first, task.second), strict=True)
    )
    number = int(judge.draw("reading", asked.occasion) * 10_000)
    return _REASONS[task.language].format(number=number, first=first, second=second)


def _faults_of(judge: Judge, situation: Situation, reply: str, who: str, language: str) -> str:
    found = found_faults(judge, situation, reply)
    some, none = _FAULTS[language]
    return some.format(who=who, faults=", ".join(found)) if found else none.format(who=who)


def _no_answer(token: str) -> Answer:
    """First tokens of which none is an answer."""
    rest = ("I", "The", "Well", "This")
    return Answer(
        token, tuple((one, math.log(0.7 if one == token else 0.1)) for one in (token, *rest))
    )

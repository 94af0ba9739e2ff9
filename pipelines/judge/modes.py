"""One judgment: the mode's steps on one pair in one order, un-swapped at the end.

`judge_pair` is a generator that yields the requests it wants answered together and is sent their
replies in the same order; whoever runs it (`pipelines.judge.runner`) does the I/O.
"""

from pipelines.errors import BadInput
from pipelines.judge.asking import Answer, Asking, Step, ask_logprob, ask_verdict
from pipelines.judge.checks import checked_principles, judge_by_checks
from pipelines.judge.parse import Winner
from pipelines.judge.principles import ask_principles, asked_principles
from pipelines.judge.question import Shown, comparison_values, fill, pair_text
from pipelines.judge.ratings import rate_pair
from pipelines.judge.rationale import ask_samples, ask_with_rationale
from pipelines.judge.spec import ALONE, JudgeSpec
from pipelines.judge.template import Template
from pipelines.records import Judgment, Label, Order, PreferencePair


def asked_orders(spec: JudgeSpec) -> tuple[Order | None, ...]:
    """The orders in which a pair is judged: one judgment each. Ratings and checks have none."""
    return (None,) if spec.mode in ALONE else spec.orders


def judge_pair(
    spec: JudgeSpec, template: Template, pair: PreferencePair, order: Order | None
) -> Step[Judgment]:
    """One judge's judgment on one pair in one of `asked_orders`.

    Yields requests to be answered together and takes their replies in the same order. A failed
    reply never raises: it becomes a judgment with that failure.

    Raises:
        BadInput: The order does not belong to the mode, or the template to another mode.
    """
    if template.mode != spec.mode:
        raise BadInput(
            f'judge "{spec.name}": the template was loaded for mode {template.mode}, '
            f"not {spec.mode}; load it for this judge"
        )
    if (order is None) != (spec.mode in ALONE):
        raise BadInput(
            f'judge "{spec.name}": mode {spec.mode} cannot be asked in order {order}; '
            "use one of asked_orders"
        )
    if spec.mode == "check":
        return (yield from judge_by_checks(spec, template, pair))
    asking = Asking(spec, template)
    if order is None:
        return (yield from rate_pair(asking, pair))
    answer = yield from _ask(asking, pair_text(template.parts, Shown.of(pair, order)))
    return as_judgment(spec.name, order, answer)


def as_judgment(judge: str, order: Order, answer: Answer) -> Judgment:
    """An answer in the order shown as a judgment on response_a and response_b."""
    if answer.failure is not None or answer.winner is None:
        return Judgment(
            judge=judge,
            order=order,
            failure=answer.failure or "unparsed",
            rationale=answer.rationale,
            raw=answer.said,
        )
    first: Label = "A" if order == "ab" else "B"
    second: Label = "B" if order == "ab" else "A"
    labels: dict[Winner, Label] = {"first": first, "second": second, "tie": "tie"}
    p_first = answer.p_first
    return Judgment(
        judge=judge,
        order=order,
        label=labels[answer.winner],
        p_a=p_first if p_first is None or order == "ab" else 1.0 - p_first,
        confidence=answer.confidence,
        rationale=answer.rationale,
        raw=answer.said,
    )


def calls_per_judgment(spec: JudgeSpec, template: Template) -> int:
    """How many calls of the model one judgment takes when no reply has to be asked for again."""
    if spec.mode == "rating":
        weighed = [one for one in template.criteria if spec.weights.get(one.name, 1.0) > 0]
        return 2 * len(weighed)
    if spec.mode == "check":
        return 2 * len(checked_principles(spec, template))
    if spec.mode in ("logprob", "verdict"):
        return 1
    if spec.mode == "cot+logprob":
        return 2
    each = 2 if spec.answer == "logprob" else 1
    if spec.mode == "self-consistency":
        return spec.samples * each
    n_principles = len(asked_principles(spec, template))
    return n_principles * (each if spec.rationale else 1)


def _ask(asking: Asking, shown: str) -> Step[Answer]:
    spec, ending = asking.spec, asking.template.parts.ending
    values = comparison_values(asking.template.parts)
    if spec.mode == "logprob":
        return (yield from ask_logprob(asking, asking.opening(shown, fill(ending.logprob, values))))
    if spec.mode == "cot+logprob":
        return (yield from ask_with_rationale(asking, shown))
    if spec.mode == "self-consistency":
        return (yield from ask_samples(asking, shown))
    if spec.mode == "per-principle":
        return (yield from ask_principles(asking, shown))
    part = ending.verdict_with_rationale if spec.rationale else ending.verdict
    messages = asking.opening(shown, fill(part, values))
    return (yield from ask_verdict(asking, messages, with_rationale=spec.rationale))

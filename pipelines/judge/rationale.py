"""Modes with a free rationale first: the question is asked on top of the judge's own reasons.

Source: Lee et al. (2023), RLAIF, arXiv:2309.00267 (two-step chain of thought); Wang et al. (2022),
self-consistency, arXiv:2203.11171 (here soft labels are averaged, as in RLAIF's appendix).
"""

import json
from collections import Counter
from dataclasses import replace

from pipelines.judge.asking import (
    Answer,
    Asking,
    Step,
    ask_logprob,
    ask_rationale,
    ask_verdict,
    from_probability,
    together,
)
from pipelines.judge.question import comparison_values, fill, harmless
from pipelines.records import Message


def ask_with_rationale(
    asking: Asking, shown: str, *, question: str | None = None, number: int = 0
) -> Step[Answer]:
    """A rationale, then the two answers' log-probabilities on top of it.

    Args:
        asking: The judge.
        shown: The fenced pair.
        question: A principle's own question, or the whole comparison.
        number: Which sample this is; it shifts the seed.
    """
    ending, values = (
        asking.template.parts.ending,
        comparison_values(asking.template.parts, question),
    )
    opening = asking.opening(shown, fill(ending.rationale, values))
    reasons = yield from ask_rationale(asking, opening, number)
    if reasons.value is None:
        return Answer(failure=reasons.failure, said=reasons.said)
    messages = (
        *opening,
        Message(role="assistant", content=harmless(reasons.value)),
        Message(role="user", content=fill(ending.logprob, values)),
    )
    answer = yield from ask_logprob(asking, messages)
    return replace(answer, rationale=reasons.value)


def ask_comparison(
    asking: Asking, shown: str, *, question: str | None = None, number: int = 0, reasons: bool
) -> Step[Answer]:
    """One comparison in the way that the judge's `answer` names, with its reasons or without."""
    ending, values = (
        asking.template.parts.ending,
        comparison_values(asking.template.parts, question),
    )
    if asking.spec.answer == "verdict":
        part = ending.verdict_with_rationale if reasons else ending.verdict
        messages = asking.opening(shown, fill(part, values))
        return (yield from ask_verdict(asking, messages, with_rationale=reasons, number=number))
    if reasons:
        return (yield from ask_with_rationale(asking, shown, question=question, number=number))
    return (yield from ask_logprob(asking, asking.opening(shown, fill(ending.logprob, values))))


def ask_samples(asking: Asking, shown: str) -> Step[Answer]:
    """Self-consistency: the mean over sampled rationales; failed samples are left out, and kept.

    When half of the samples or more failed, so has the judgment, by the commonest failure.
    """
    samples = yield from together(
        [
            ask_comparison(asking, shown, number=number, reasons=True)
            for number in range(asking.spec.samples)
        ]
    )
    said = json.dumps({"samples": [_kept(sample) for sample in samples]}, ensure_ascii=False)
    answered = [sample.p_first for sample in samples if sample.p_first is not None]
    if 2 * len(answered) <= len(samples):
        failures = Counter(sample.failure for sample in samples if sample.failure is not None)
        return Answer(failure=failures.most_common(1)[0][0], said=said)
    answer = from_probability(sum(answered) / len(answered), said=said)
    agreeing = (sample.rationale for sample in samples if sample.winner == answer.winner)
    return replace(answer, rationale=next((text for text in agreeing if text), None))


def _kept(sample: Answer) -> dict[str, object]:
    if sample.failure is not None:
        return {"failure": sample.failure, "said": sample.said}
    return {"p_first": sample.p_first, "rationale": sample.rationale}

"""The stage evaluate: win rates, suites, warnings, and in the sandbox the truth."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pipelines.agreement.estimate import Estimate
from pipelines.evaluate.result import EvaluationFound
from workbench.running.task import QUICK_PROMPTS, Did, Task, ended, words


def evaluate(task: Task) -> Did:
    """`workbench evaluate`."""
    from workbench.evaluating.run import evaluate as run_evaluation
    from workbench.evaluating.run import plan

    planned = plan(task.project, task.step.called, task.step.policies)
    if task.quick:
        suites = tuple(
            replace(one, prompts=one.prompts and _first(one.prompts)) for one in planned.suites
        )
        planned = replace(planned, prompts=_first(planned.prompts), suites=suites)
    with task.bars.standing() as on_standing:
        done = run_evaluation(planned, on_standing)
    did = Did(())
    if done.found is not None:
        did = Did(tuple(_lines(done.found)), gain=_gain(done.found), figures=figures_of(done.found))
    return ended([*done.generate_runs, *done.judged], did)


def figures_of(found: EvaluationFound) -> dict[str, Any]:
    """What is kept of an evaluation beside the step: win rates and the shares of its suites."""
    return {
        "win_rates": [
            {
                "judge": one.judge,
                "policy": one.first,
                "over": one.second,
                "rate": _kept(
                    one.win.tie_aware if one.corrected is None else one.corrected.corrected
                ),
                "corrected": one.corrected is not None,
            }
            for one in found.matchups
        ],
        "true_win_rates": [
            {"policy": later, "over": earlier, "rate": _kept(rate)}
            for (later, earlier), rate in _truth(found).items()
        ],
        "suites": [
            {"suite": suite.title, "policy": group.policy, "share": _kept(group.share)}
            for suite in found.suites
            for group in suite.groups
            if not group.group
        ],
    }


def _truth(found: EvaluationFound) -> dict[tuple[str, str], Estimate]:
    """What the sandbox knows, once for all judges; empty outside it."""
    return {(one.first, one.second): one.truth for one in found.matchups if one.truth is not None}


def _lines(found: EvaluationFound) -> Iterator[str]:
    from workbench.evaluating.words import leak_sentence, skipped_sentence

    for one in found.leaks:
        yield f"WARNING: {leak_sentence(one, found)}"
    if found.people is not None and found.people.n_skipped:
        yield f"WARNING: {skipped_sentence(found.people.n_skipped)}"
    for match in found.matchups:
        fixed = match.corrected
        value = match.win.tie_aware if fixed is None else fixed.corrected
        how = "" if fixed is None else f", corrected by {fixed.n_labelled:,} human labels"
        yield f"{match.judge}: {match.first} against {match.second} {words(value)}{how}"
    for suite in found.suites:
        shares = [
            f"{group.policy} {words(group.share)}" for group in suite.groups if not group.group
        ]
        yield f"{suite.title}, {suite.share_of}: {', '.join(shares)}"
    for (later, earlier), rate in _truth(found).items():
        yield f"in truth: {later} against {earlier} {words(rate)}"


def _gain(found: EvaluationFound) -> Estimate | None:
    """The last policy's win rate over the first, by the first judge."""
    first, last = found.policies[0].name, found.policies[-1].name
    for match in found.matchups:
        if {match.first, match.second} == {first, last}:
            value = match.win.tie_aware if match.corrected is None else match.corrected.corrected
            if match.first == last:
                return value
            return replace(
                value, estimate=1.0 - value.estimate, low=1.0 - value.high, high=1.0 - value.low
            )
    return None


def _kept(value: Estimate | None) -> dict[str, float | int] | None:
    if value is None:
        return None
    return {"estimate": value.estimate, "low": value.low, "high": value.high, "n": value.n}


def _first(read: Any) -> Any:
    return replace(read, prompts=read.prompts[:QUICK_PROMPTS])

"""What is to be said of an evaluation, in the same words on the command line and on the page."""

from pipelines.agreement.estimate import Estimate
from pipelines.evaluate.result import EvaluationFound, LeakFound


def seen_sentence(found: EvaluationFound) -> str:
    """That prompts were not held out."""
    return (
        f"{found.n_prompts_seen:,} of these {found.n_prompts:,} prompts stand in the project's own "
        "pairs: they are not held out, and a policy may have been trained on them"
    )


def unknown_sentence(run: str) -> str:
    """That nobody knows whose labels a run was trained on."""
    return (
        f"the data of the training run {run} do not say who labelled them, so leakage from its "
        "labels cannot be told"
    )


def unused_sentence(name: str) -> str:
    """That a round's labels stand for a part of the pairs."""
    return (
        f"the round {name} was not drawn uniformly from all pairs, so its labels correct nothing; "
        "draw one with `workbench audit draw` as the evaluation's project.toml says"
    )


def skipped_sentence(n: int) -> str:
    """That nobody labelled some of the drawn pairs, and what that means for what is corrected."""
    return (
        f"everybody skipped {n:,} drawn {'pair' if n == 1 else 'pairs'}, without a label; the "
        "corrected rates take it that the judge errs there as on the pairs that were labelled"
    )


def leak_sentence(one: LeakFound, found: EvaluationFound) -> str:
    """What a leak is, and by how much it could explain the result."""
    if one.kind == "judges itself":
        what = f'the judge "{one.judge}" is of the same model or family as "{one.policy}"'
    else:
        how = {
            "same judge": "the very judge that labelled",
            "same model": f'the same model as "{one.labelled_by}", which labelled',
            "same family": f'of the same family as "{one.labelled_by}", which labelled',
        }[one.kind]
        way = ", from ".join(one.through)
        what = f'the judge "{one.judge}" is {how} what "{one.policy}" was trained on ({way})'
    return f"{what}; {leak_size(one, found)}"


def leak_size(one: LeakFound, found: EvaluationFound) -> str:
    """By how much the judge favours the policy beyond what people say, where it is measured."""
    parts = []
    for each in found.matchups:
        if each.judge != one.judge or one.policy not in (each.first, each.second):
            continue
        if each.corrected is None:
            continue
        sign = 1.0 if each.first == one.policy else -1.0
        excess = each.corrected.excess
        low, high = sorted((sign * excess.low, sign * excess.high))
        other = each.second if each.first == one.policy else each.first
        where = "above" if sign * excess.estimate >= 0.0 else "below"
        most = f"at most {100 * high:.1f} points" if high > 0.0 else "nothing"
        said = (
            f"against {other} it puts {one.policy} {abs(100 * excess.estimate):.1f} points {where} "
            f"where people put it ({100 * low:+.1f} to {100 * high:+.1f}, n = {excess.n:,}), so "
            f"{most} of its win rate there can be self-preference"
        )
        if each.self_preference is not None:
            upheld = each.self_preference.excess
            said += (
                f"; of the wins that people give, it upholds {one.policy}'s "
                f"{abs(100 * upheld.estimate):.1f} points "
                f"{'oftener' if upheld.estimate >= 0.0 else 'more rarely'} than {other}'s "
                f"({100 * upheld.low:+.1f} to {100 * upheld.high:+.1f}, n = {upheld.n:,})"
            )
        parts.append(said)
    if not parts:
        return (
            "how much self-preference explains is not measured: nobody has labelled a part of "
            "this evaluation"
        )
    return "; ".join(parts)


def words(value: Estimate | None) -> str:
    """An estimate with its interval and n."""
    if value is None:
        return "not measured"
    return (
        f"{100 * value.estimate:.1f}% ({100 * value.low:.1f} to {100 * value.high:.1f}, "
        f"n = {value.n:,})"
    )

"""What `workbench evaluate` says."""

from collections.abc import Iterator
from pathlib import Path

from pipelines.evaluate.result import (
    EvaluationFound,
    MatchupFound,
    RankingFound,
    SuiteFound,
)
from pipelines.evaluate.suites import load_suite, suite_names
from workbench.cli.judge_text import ENDED, duration
from workbench.data_files import data_dir
from workbench.evaluating.estimate import EvaluationEstimate
from workbench.evaluating.run import Evaluated, Plan
from workbench.evaluating.words import (
    leak_sentence,
    seen_sentence,
    skipped_sentence,
    unknown_sentence,
    unused_sentence,
    words,
)
from workbench.project import Project


def suite_lines(project: Project) -> list[str]:
    """The suites that this project may name."""
    folders = (project.dir, data_dir())
    names = suite_names(folders)
    width = max(len(name) for name in names)
    return [f"{name:{width}}  {load_suite(name, folders)[0].about}" for name in names]


def estimate_lines(planned: Plan, found: EvaluationEstimate) -> list[str]:
    """What an evaluation would take."""
    lines = [_about(planned)]
    usd: float | None = 0.0
    for place, one in found.responses:
        where = f" ({place})" if place else ""
        if not one.n_pending:
            lines.append(f"{one.model}{where}: all {one.n_prompts:,} responses are there")
            continue
        price = "price unknown" if one.usd is None else f"about {one.usd:,.2f} USD"
        usd = None if usd is None or one.usd is None else usd + one.usd
        lines.append(
            f"{one.model}{where}: {one.n_pending:,} of {one.n_prompts:,} responses to ask for, "
            f"about {one.prompt_tokens:,} tokens in and {one.completion_tokens:,} out, {price}, "
            f"{duration(one.seconds)}"
        )
    for judge in found.judgments:
        price = "price unknown" if judge.usd is None else f"about {judge.usd:,.2f} USD"
        usd = None if usd is None or judge.usd is None else usd + judge.usd
        lines.append(
            f"{judge.judge}: {judge.n_pending:,} of {judge.n_wanted:,} judgments to ask for, "
            f"{price}, {duration(judge.seconds)}"
        )
    if not found.judgments:
        lines.append(
            f"then at most {found.n_judgments:,} judgments; what they cost is known once the "
            "responses are there"
        )
    limit = planned.limits.budget_usd
    if usd is not None and limit is not None and usd > limit:
        lines.append(
            f"this costs about {usd:,.2f} USD; the run stops before {limit:,.2f} (budget_usd)"
        )
    return [*lines, "dry run: nothing asked"]


def undone_lines(done: Evaluated) -> list[str]:
    """Why there is no result yet."""
    lines = []
    for run in done.generate_runs:
        lines.append(
            f"{run.model}: {run.n_drawn:,} of {run.n_prompts:,} prompts answered"
            + (f"; {ENDED.get(run.ended, run.ended)}" if run.n_pending else "")
        )
    for judged in done.judged:
        lines.append(
            f"{judged.judge}: {judged.n_judged:,} of {judged.n_wanted:,} judged"
            + (f"; {ENDED.get(judged.ended, judged.ended)}" if judged.n_pending else "")
        )
    return [*lines, "run it again to go on; what is done is not asked again"]


def found_lines(found: EvaluationFound, done: Evaluated) -> list[str]:
    """The result, short; the page *Win rates* shows all of it."""
    lines = [
        f"{found.name}: {', '.join(one.name for one in found.policies)} on {found.n_prompts:,} "
        f"prompts of {found.prompts}"
    ]
    for policy in found.policies:
        if policy.failed:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in policy.failed.items())
            lines.append(f"  {policy.name}: responses that failed and are not compared: {reasons}")
    if found.n_prompts_seen:
        lines.append(f"WARNING: {seen_sentence(found)}")
    lines += [f"WARNING: {leak_sentence(one, found)}" for one in found.leaks]
    lines += [f"WARNING: {unknown_sentence(run)}" for run in found.unknown_data]
    unused = found.people.rounds_unused if found.people else ()
    lines += [f"WARNING: {unused_sentence(name)}" for name in unused]
    if found.people is not None and found.people.n_skipped:
        lines.append(f"WARNING: {skipped_sentence(found.people.n_skipped)}")
    for judge in found.judges:
        if not any(one.judge == judge for one in found.matchups):
            lines.append(f"WARNING: the judge {judge} has no verdict on these responses")
    for one in found.matchups:
        lines += _matchup_lines(one)
    for ranking in found.rankings:
        lines += _ranking_lines(ranking)
    for suite in found.suites:
        lines.append(f"{suite.title}: {suite.share_of}, {suite.how}")
        lines += _suite_lines(suite)
    for aligned in found.alignment:
        lines.append(f"{aligned.kind} of {aligned.name}: {words(aligned.accuracy)}")
        lines += [f"  {n:,} pairs are left out: {why}" for why, n in aligned.n_left_out.items()]
    lines += _next(found, done)
    return lines


def _matchup_lines(one: MatchupFound) -> Iterator[str]:
    win = one.win
    yield (
        f"{one.first} against {one.second}, by {one.judge}: {win.wins:,} wins, {win.ties:,} ties, "
        f"{win.losses:,} losses; p = {win.p_value:.3g}, {one.p_adjusted:.3g} for all together"
    )
    yield f"  {'raw':18} {words(win.raw)}"
    yield f"  {'ties half':18} {words(win.tie_aware)}"
    length = None if one.length is None else one.length.win_rate
    yield f"  {'length-controlled':18} {words(length)}"
    if one.corrected is None:
        yield f"  {'corrected':18} not measured: people have not labelled a part of these pairs"
    else:
        fixed = one.corrected
        yield (
            f"  {'corrected (PPI++)':18} {words(fixed.corrected)}, from {fixed.n_labelled:,} human "
            f"labels; p = {fixed.p_value:.3g}"
        )
    if one.truth is not None:
        yield f"  {'in truth (sandbox)':18} {words(one.truth)}"
    if win.detectable is not None:
        far = f"{100 * win.detectable:.1f} points"
        if one.corrected_detectable is not None:
            far += f" ({100 * one.corrected_detectable:.1f} when corrected)"
        yield f"  {'could show':18} {far} from one half, in four of five such evaluations"
    if one.n_same:
        yield f"  {one.n_same:,} of the ties are equal responses, about which nobody was asked"
    if one.n_unjudged:
        yield f"  {one.n_unjudged:,} pairs have no verdict (failed) and are not counted"


def _suite_lines(suite: SuiteFound) -> Iterator[str]:
    changes = {(one.after, one.group): one for one in suite.changes}
    for one in suite.groups:
        if one.group and suite.by == "category":
            continue  # many, of a few prompts each: the page has them
        label = f"{one.policy}, {one.group}" if one.group else one.policy
        yield f"  {label}: {words(one.share)}"
        change = changes.get((one.policy, one.group))
        if change is not None:
            gap = change.change.difference
            yield (
                f"    {100 * gap.estimate:+.1f} points from {change.before} "
                f"({100 * gap.low:+.1f} to {100 * gap.high:+.1f}, n = {gap.n:,}), "
                f"p = {change.p_adjusted:.3g} for all together"
            )
    for reason, n in suite.n_left_out.items():
        yield f"  {n:,} responses are not counted: {reason}"


def _ranking_lines(ranking: RankingFound) -> Iterator[str]:
    for kind, strengths in (("raw", ranking.raw), ("corrected", ranking.corrected)):
        if strengths is None:
            continue
        yield f"Bradley-Terry by {ranking.judge}, {kind}: chance of beating an average policy"
        rows = zip(ranking.policies, strengths.against_average, strict=True)
        for name, chance in sorted(rows, key=lambda row: -row[1].estimate):
            yield f"  {name}: {words(chance)}"


def _next(found: EvaluationFound, done: Evaluated) -> Iterator[str]:
    folder = Path(done.folder)
    if all(one.n_same == one.win.n + one.n_unjudged for one in found.matchups):
        return  # nothing that people could be asked about
    if found.people is None:
        yield (
            f"next: workbench audit draw --project {folder}, then workbench serve --project "
            f"{folder}: people label a part blind, and the same command again corrects the win "
            "rates by what they say"
        )
    elif found.people.n_labels + found.people.n_skipped < found.people.n_pairs_drawn:
        yield (
            f"next: workbench serve --project {folder}: {found.people.n_labels:,} of "
            f"{found.people.n_pairs_drawn:,} drawn pairs are labelled; then the same command again"
        )
    elif found.people.n_simulated:
        yield f"{found.people.n_simulated:,} of the votes are simulated"


def _about(planned: Plan) -> str:
    return (
        f"{planned.name}: {', '.join(one.spec.name for one in planned.policies)} on "
        f"{len(planned.prompts.prompts):,} prompts of {planned.prompts.source}"
    )

"""Which policy is better, how sure that is, and what would explain it away."""

from pathlib import Path

import pandas as pd
import streamlit as st

from pipelines.agreement.estimate import Estimate
from pipelines.evaluate.result import (
    EvaluationFound,
    MatchupFound,
    RankingFound,
    evaluations_of,
    read_result,
)
from workbench.app.critic_desk import choose
from workbench.app.win_charts import bars_figure, matrix_figure
from workbench.app.win_examples import show_examples
from workbench.app.win_suites import show_alignment, show_suites
from workbench.app.words import download, estimates_table, for_chart, plain
from workbench.evaluating.words import (
    leak_sentence,
    seen_sentence,
    unknown_sentence,
    unused_sentence,
)
from workbench.project import Project

_RATES, _ALL, _SUITES = "Win rates", "All against all", "Suites"
_ALIGNMENT, _EXAMPLES = "Judges and reward models", "Examples"
KINDS = ("raw", "ties half", "at equal length", "corrected", "in truth (sandbox)")


def render(project: Project) -> None:
    """Draw the page."""
    st.title("Which policy is better?")
    folders = {folder.name: folder for folder in _folders(project)}
    if not folders:
        st.info(
            "No policies have been compared yet. `workbench evaluate BEFORE AFTER` asks both for "
            "responses to held-out prompts and judges which are better."
        )
        return
    name = next(iter(folders))
    if len(folders) > 1:
        name = st.selectbox("Evaluation", list(folders))
    folder = folders[name]
    found = read_result(folder)
    if found is None:
        st.info(f"The evaluation {plain(name)} has no result yet; run it again.")
        return
    _show_about(found)
    parts = [_RATES]
    if len(found.policies) > 2:
        parts.append(_ALL)
    parts += [_SUITES] * bool(found.suites) + [_ALIGNMENT] * bool(found.alignment) + [_EXAMPLES]
    if st.session_state.get("win-rates-part") not in parts:  # chosen in another evaluation
        st.session_state.pop("win-rates-part", None)
    part = choose(parts, "win-rates-part")
    if part == _RATES:
        _show_rates(found)
    elif part == _ALL:
        _show_all(found)
    elif part == _SUITES:
        show_suites(found)
    elif part == _ALIGNMENT:
        show_alignment(found)
    else:
        show_examples(folder, found)


def _folders(project: Project) -> list[Path]:
    """The project's evaluations, newest first; an evaluation's own project has itself."""
    own = [project.dir] if (project.dir / "result.json").is_file() else []
    return own + evaluations_of(project.dir)


def _show_about(found: EvaluationFound) -> None:
    for leak in found.leaks:
        st.error(_sentence(leak_sentence(leak, found)), icon=":material/warning:")
    if found.n_prompts_seen:
        st.error(_sentence(seen_sentence(found)), icon=":material/warning:")
    for run in found.unknown_data:
        st.warning(_sentence(unknown_sentence(run)), icon=":material/help:")
    for name in found.people.rounds_unused if found.people else ():
        st.warning(_sentence(unused_sentence(name)), icon=":material/help:")
    names = ", ".join(plain(one.name) for one in found.policies)
    said = f"{names} on {found.n_prompts:,} prompts of {plain(Path(found.prompts).name)}. "
    people = found.people
    if people is None:
        said += (
            "Nobody has labelled a part of it yet: `workbench audit draw` and `workbench serve` in "
            "the evaluation's folder, then run the evaluation again."
        )
    else:
        said += (
            f"{people.annotators:,} {'person' if people.annotators == 1 else 'people'} labelled "
            f"{people.n_labels:,} of {people.n_pairs_drawn:,} pairs that were drawn at random"
        )
        said += (
            f"; {people.n_simulated:,} of the votes are simulated." if people.n_simulated else "."
        )
    st.caption(said)
    for one in found.policies:
        if one.failed:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in one.failed.items())
            st.caption(
                f"{plain(one.name)}: of {one.n_responses:,} responses failed, and are compared "
                f"with nobody: {reasons}."
            )


def _show_rates(found: EvaluationFound) -> None:
    judge = found.judges[0]
    if len(found.judges) > 1:
        judge = st.selectbox("Judge", list(found.judges), key="win-judge")
    matchups = [one for one in found.matchups if one.judge == judge]
    if not matchups:
        st.info(f"The judge {plain(judge)} has no verdict on these responses.")
        return
    series = [
        (kind, [(_title(one), rates_of(one)[kind]) for one in matchups])
        for kind in KINDS
        if any(rates_of(one)[kind] is not None for one in matchups)
    ]
    st.plotly_chart(bars_figure(series, "win rate", 0.5), width="stretch", key="rates")
    n = ", ".join(f"{one.win.n:,}" for one in matchups)
    given = [one.corrected.n_labelled if one.corrected else 0 for one in matchups]
    labels = f"; {', '.join(f'{k:,}' for k in given)} human labels" if any(given) else ""
    truth = (
        " The truth is by the sandbox's rules; the corrected rate is what people would say, and "
        "people err."
        if any(one.truth is not None for one in matchups)
        else ""
    )
    st.caption(
        f"How often the first policy wins, by {plain(judge)}: of all pairs (raw), with ties half, "
        "had both responses been of one length, and corrected for the judge's error by what people "
        f"say of a part (PPI++). Lines are {found.confidence:.0%} intervals. n = {n} pairs{labels}."
        f"{truth}"
    )
    table = _rates_table(matchups)
    st.dataframe(table, hide_index=True, width="stretch")
    download(table, "win-rates.csv", "csv-win-rates")
    for one in matchups:
        _show_sentences(one)


def rates_of(one: MatchupFound) -> dict[str, Estimate | None]:
    """The win rates of a matchup, by kind."""
    return {
        "raw": one.win.raw,
        "ties half": one.win.tie_aware,
        "at equal length": None if one.length is None else one.length.win_rate,
        "corrected": None if one.corrected is None else one.corrected.corrected,
        "in truth (sandbox)": one.truth,
    }


def _rates_table(matchups: list[MatchupFound]) -> pd.DataFrame:
    rows: list[tuple[str, Estimate | None]] = []
    for one in matchups:
        rows += [
            (f"{_title(one)}: {kind}", value)
            for kind, value in rates_of(one).items()
            if value is not None or kind != KINDS[-1]
        ]
        if one.corrected is not None:
            rows.append((f"{_title(one)}: people's labels alone", one.corrected.human))
            rows.append((f"{_title(one)}: judge less people", one.corrected.excess))
        if one.self_preference is not None:
            rows.append((f"{_title(one)}: self-preference", one.self_preference.excess))
        rows.append((f"{_title(one)}: Rogan-Gladen, decisive pairs", one.rogan_gladen))
        rows.append((f"{_title(one)}: verdicts that flip with the order", one.flips))
    return estimates_table(rows, "win rate")


def _show_sentences(one: MatchupFound) -> None:
    win = one.win
    said = (
        f"**{plain(_title(one))}**: {win.wins:,} wins, {win.ties:,} ties, {win.losses:,} "
        f"losses. Were the two alike, so much would be seen with p = {win.p_value:.3g} (exact, by "
        f"prompt; {one.p_adjusted:.3g} for all matchups together). "
    )
    if win.detectable is not None:
        said += (
            f"With so many prompts a win rate {100 * win.detectable:.1f} points from one half "
            "would show in four of five such runs"
        )
        if one.corrected_detectable is not None:
            said += f", a corrected one {100 * one.corrected_detectable:.1f} points from it"
        said += ". "
    if one.n_same:
        said += f"{one.n_same:,} of the ties are equal responses. "
    if one.n_unjudged:
        said += f"{one.n_unjudged:,} pairs have no verdict (failed) and are not counted. "
    if one.length is not None:
        slope = one.length.slope
        likes = "longer" if slope.low > 0 else "shorter" if slope.high < 0 else ""
        said += (
            f"This judge prefers the {likes} response, all else equal. "
            if likes
            else "Length does not visibly sway this judge. "
        )
    if one.corrected is None:
        said += "Not corrected: people have labelled too few of these pairs."
    else:
        fixed = one.corrected
        said += (
            f"Corrected by {fixed.n_labelled:,} human labels: p = {fixed.p_value:.3g}; the judge "
            f"counts with weight {fixed.weight:.2f}, and is worth {fixed.gain:.1f} times the human "
            f"labels. {_excess_words(fixed.excess)}"
        )
    st.caption(said)


def _excess_words(excess: Estimate) -> str:
    """How much the judge favours the first policy beyond what people say."""
    points = f"{abs(100 * excess.estimate):.1f} points"
    than = "more" if excess.estimate >= 0.0 else "less"
    return (
        f"It gives the first policy {points} {than} than people do ({100 * excess.low:+.1f} to "
        f"{100 * excess.high:+.1f}, n = {excess.n:,})."
    )


def _show_all(found: EvaluationFound) -> None:
    judge = found.judges[0]
    if len(found.judges) > 1:
        judge = st.selectbox("Judge", list(found.judges), key="matrix-judge")
    names = [one.name for one in found.policies]
    kind = choose(["ties half", "corrected"], "matrix-kind")
    cells = _matrix(found, judge, kind)
    shown = [for_chart(name) for name in names]
    st.plotly_chart(matrix_figure(shown, cells), width="stretch", key="matrix")
    st.caption(
        f"How often the row's policy wins over the column's, by {plain(judge)}, {kind}. An empty "
        "cell was not measured. n stands in each cell."
    )
    rows = [
        (f"{names[i]} over {names[j]}", cells[i][j])
        for i in range(len(names))
        for j in range(len(names))
        if i != j
    ]
    table = estimates_table(rows, "policies")
    st.dataframe(table, hide_index=True, width="stretch")
    download(table, "matrix.csv", "csv-matrix")
    for ranking in found.rankings:
        if ranking.judge == judge:
            _show_ranking(ranking, sum(one.win.n for one in found.matchups if one.judge == judge))


def _matrix(found: EvaluationFound, judge: str, kind: str) -> list[list[Estimate | None]]:
    names = [one.name for one in found.policies]
    cells: list[list[Estimate | None]] = [[None] * len(names) for _ in names]
    for one in found.matchups:
        if one.judge != judge:
            continue
        value = rates_of(one)[kind]
        if value is None:
            continue
        i, j = names.index(one.first), names.index(one.second)
        cells[i][j] = value
        cells[j][i] = Estimate(
            1.0 - value.estimate, 1.0 - value.high, 1.0 - value.low, value.method, value.n
        )
    return cells


def _show_ranking(ranking: RankingFound, n: int) -> None:
    st.header("On one scale")
    kinds = [("raw", ranking.raw), ("corrected", ranking.corrected)]
    series = [
        (kind, list(zip(map(for_chart, ranking.policies), found.against_average, strict=True)))
        for kind, found in kinds
        if found is not None
    ]
    if not series:
        st.info("A policy won or lost everything, so no finite strength fits these win rates.")
        return
    st.plotly_chart(
        bars_figure(series, "chance of beating an average policy", 0.5),
        width="stretch",
        key="ranking",
    )
    st.caption(
        "Bradley-Terry strengths of all policies from all matchups, as the chance of beating an "
        f"average one of them; intervals by prompt. n = {n:,} comparisons."
    )
    rows = [
        (f"{name}: {kind} {what}", value)
        for kind, found in kinds
        if found is not None
        for what, values in (
            ("log-odds", found.log_odds),
            ("chance", found.against_average),
        )
        for name, value in zip(ranking.policies, values, strict=True)
    ]
    table = estimates_table(rows, "policy")
    st.dataframe(table, hide_index=True, width="stretch")
    download(table, "bradley-terry.csv", "csv-bradley-terry")


def _title(one: MatchupFound) -> str:
    return f"{for_chart(one.first, 30)} over {for_chart(one.second, 30)}"


def _sentence(text: str) -> str:
    return plain(text[:1].upper() + text[1:]) + "."

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
from workbench.app.win_words import (
    KINDS,
    headline,
    rates_of,
    rates_table,
    sentences_on,
    title_of,
)
from workbench.app.words import cell_words, download, estimates_table, for_chart, plain
from workbench.evaluating.words import (
    leak_sentence,
    seen_sentence,
    skipped_sentence,
    unknown_sentence,
    unused_sentence,
)
from workbench.project import Project

_RATES, _ALL, _SUITES = "Win rates", "All against all", "Suites"
_FEW = 3  # comparisons, whose words need not be folded away
_ALIGNMENT, _EXAMPLES = "Judges and reward models", "Examples"


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
    if found.people is not None and found.people.n_skipped:
        st.warning(_sentence(skipped_sentence(found.people.n_skipped)), icon=":material/help:")
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
    st.markdown(f"**{plain(headline(matchups))}**")
    series = [
        (kind, [(title_of(one), rates_of(one)[kind]) for one in matchups])
        for kind in KINDS
        if any(rates_of(one)[kind] is not None for one in matchups)
    ]
    st.plotly_chart(bars_figure(series, "win rate", 0.5), width="stretch", key="rates")
    n = _counts([one.win.n for one in matchups], "pairs")
    given = [one.corrected.n_labelled if one.corrected else 0 for one in matchups]
    labels = f"; {_counts(given, 'human labels')}" if any(given) else ""
    truth = (
        " The truth is by the sandbox's rules; the corrected rate is what people would say, and "
        "people err."
        if any(one.truth is not None for one in matchups)
        else ""
    )
    st.caption(
        f"How often the first policy wins over the second, by the judge {plain(judge)}: with ties "
        "as half a win, had both responses been of one length, corrected for the judge's error by "
        "what people say of a part (PPI++), and raw, where a tie is no win. Lines are "
        f"{found.confidence:.0%} intervals; one that holds one half tells nothing apart. "
        f"n = {n}{labels}.{truth}"
    )
    st.dataframe(_side_by_side(matchups), hide_index=True, width="stretch")
    download(rates_table(matchups), "win-rates.csv", "csv-win-rates")
    with st.expander("Each comparison in words", expanded=len(matchups) <= _FEW):
        for one in matchups:
            st.caption(sentences_on(one))


def _counts(values: list[int], of: str) -> str:
    """Counts of several matchups; one number where they are all the same."""
    if len(values) > 1 and len(set(values)) == 1:
        return f"{values[0]:,} {of} each"
    return f"{', '.join(f'{value:,}' for value in values)} {of}"


def _side_by_side(matchups: list[MatchupFound]) -> pd.DataFrame:
    """The win rates for reading, a row each; the file has every figure."""
    measured = [kind for kind in KINDS if any(rates_of(one)[kind] for one in matchups)]
    return pd.DataFrame(
        [
            {"policies": title_of(one)}
            | {kind: cell_words(rates_of(one)[kind]) for kind in measured}
            | {
                "won, tied, lost": f"{one.win.wins:,}, {one.win.ties:,}, {one.win.losses:,}",
                "n": one.win.n,
                "p, all together": f"{one.p_adjusted:.2g}",
            }
            for one in matchups
        ]
    )


def _show_all(found: EvaluationFound) -> None:
    judge = found.judges[0]
    if len(found.judges) > 1:
        judge = st.selectbox("Judge", list(found.judges), key="matrix-judge")
    names = [one.name for one in found.policies]
    corrected = any(one.corrected for one in found.matchups if one.judge == judge)
    kind = choose(["ties half"] + ["corrected"] * corrected, "matrix-kind")
    cells = _matrix(found, judge, kind)
    shown = [for_chart(name) for name in names]
    st.plotly_chart(matrix_figure(shown, cells), width="stretch", key="matrix")
    st.caption(
        f"How often the row's policy wins over the column's, by the judge {plain(judge)}, {kind}. "
        "An empty cell was not measured. n stands in each cell."
    )
    rows = [
        (f"{names[i]} over {names[j]}", cells[i][j])
        for i in range(len(names))
        for j in range(len(names))
        if i != j
    ]
    table = estimates_table(rows, "policies")
    percent = st.column_config.NumberColumn(format="percent")
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        column_config=dict.fromkeys(("estimate", "low", "high"), percent),
    )
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
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "policy": name,
                    "by": kind,
                    "chance": cell_words(chance),
                    "log-odds": f"{odds.estimate:+.2f} ({odds.low:+.2f} to {odds.high:+.2f})",
                    "n": chance.n,
                }
                for kind, found in kinds
                if found is not None
                for name, chance, odds in zip(
                    ranking.policies, found.against_average, found.log_odds, strict=True
                )
            ]
        ),
        hide_index=True,
        width="stretch",
    )
    table = estimates_table(rows, "policy")
    download(table, "bradley-terry.csv", "csv-bradley-terry")


def _sentence(text: str) -> str:
    return plain(text[:1].upper() + text[1:]) + "."

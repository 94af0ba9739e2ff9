"""How training goes and went: curves while a run goes on, figures, warnings, what went in."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from pipelines.agreement.estimate import Estimate
from pipelines.train.hacking import SEEN, watched_in
from pipelines.train.run_folder import RunFolder, runs_of
from workbench.app.training_chart import (
    METRICS,
    MOST_RUNS,
    Line,
    Metric,
    confidence_figure,
    curve_figure,
    growth_figure,
    hacking_figure,
)
from workbench.app.training_runs import (
    Tail,
    TrainingRun,
    confidence,
    curves_table,
    figures_table,
    growth,
    look,
    n_looked_at,
    series,
    side_by_side,
    tail_of,
)
from workbench.app.words import download, plain
from workbench.project import Project

Point = tuple[float, Estimate]

_EVERY_S = 2.0  # between looks at a run that goes on
_FIRST_SHOWN = 3
_OF = {"held out": "held-out rows", "training prompts": "a look at training prompts"}
_STANDING_WORDS = {
    "done": "done",
    "going on": "going on",
    "cut off": "cut off; the same command goes on with it",
}


def render(project: Project) -> None:
    """Draw the page."""
    st.title("How did training go?")
    folders = {folder.path.name: folder for folder in runs_of(project.dir)}
    if not folders:
        st.info(
            "Nothing has been trained yet. `workbench train METHOD` trains on the project's "
            "curated export; `workbench run --recipe NAME` takes all steps of a recipe."
        )
        return
    runs = [_look(folder) for folder in folders.values()]
    _show_list(runs)
    chosen = st.multiselect(
        "Runs to compare", list(folders), default=_shown_first(runs), max_selections=MOST_RUNS
    )
    if not chosen:
        st.info("Choose a run above to see its curves.")
        return
    shown = [run for run in runs if run.name in chosen]
    for run in shown:
        for warning in run.warnings:
            st.warning(f"**{plain(run.name)}: reward hacking?** {plain(warning)}")
    goes_on = any(run.standing == "going on" for run in shown)
    picked = [folders[run.name] for run in shown]
    # The clock ticks only while there is something to come; the last tick draws the whole page.
    st.fragment(_show_curves, run_every=_EVERY_S if goes_on else None)(picked, goes_on)
    _show_figures(shown)
    st.header("What went in")
    for run in shown:
        _show_asked(run)


@st.cache_resource(show_spinner=False, max_entries=64)
def _tail(folder: str) -> Tail:
    """One reader of each run's curves for everybody who looks at it."""
    return tail_of(RunFolder(Path(folder)))


def _look(folder: RunFolder) -> TrainingRun:
    return look(folder, _tail(str(folder.path)))


def _shown_first(runs: Sequence[TrainingRun]) -> list[str]:
    """The newest run and others of its method: losses of different methods do not compare."""
    newest = sorted(runs, key=_last_written, reverse=True)
    return [run.name for run in newest if run.method == newest[0].method][:_FIRST_SHOWN]


def _last_written(run: TrainingRun) -> float:
    return float(run.points[-1].get("at") or 0.0) if run.points else 0.0


def _show_list(runs: Sequence[TrainingRun]) -> None:
    table = pd.DataFrame(
        {
            "run": [run.name for run in runs],
            "method": [run.method for run in runs],
            "state": [_STANDING_WORDS[run.standing] for run in runs],
            "step": [run.step for run in runs],
            "started from": [str(run.asked.get("model", "")) for run in runs],
            "rows trained on": [(run.asked.get("n_rows") or {}).get("train") for run in runs],
            "warnings": [len(run.warnings) for run in runs],
        }
    )
    st.dataframe(table, hide_index=True, width="stretch")


def _show_curves(folders: Sequence[RunFolder], went_on: bool) -> None:
    runs = [_look(folder) for folder in folders]
    if went_on:
        if all(run.standing != "going on" for run in runs):
            st.rerun()
        steps = ", ".join(
            f"{plain(run.name)} at step {run.step:,}" for run in runs if run.standing == "going on"
        )
        st.markdown(f"Going on: {steps}. The curves follow.")
    if not any(run.points for run in runs):
        st.info("No step was written yet; the first comes after train.log_every steps.")
        return
    st.header("Curves")
    charts = [(metric, lines) for metric in METRICS if (lines := _lines(metric, runs))]
    for number, (metric, lines) in enumerate(charts):
        if number % 2 == 0:
            columns = st.columns(2)  # a row of its own, so that a phone keeps the order
        bound = _bound(runs) if metric.title == "Violation rate" else None
        with columns[number % 2]:
            st.plotly_chart(
                curve_figure(metric, lines, bound), width="stretch", key=f"curve-{metric.title}"
            )
            st.caption(metric.told + _looks_words(lines, runs))
    _show_hacking(runs)
    download(curves_table(runs), "training-curves.csv", "csv-curves")


def _looks_words(lines: Sequence[Line], runs: Sequence[TrainingRun]) -> str:
    """What the thin lines with open marks are, and of how many prompts or rows; else empty."""
    named = {line.of for line in lines if line.of}
    if not named:
        return ""
    looked_at = {line.run for line in lines if line.of}
    counted = _n_words([run for run in runs if run.name in looked_at])
    return f" Dotted, open marks: {' or '.join(_OF[one] for one in sorted(named))}{counted}."


def _lines(metric: Metric, runs: Sequence[TrainingRun]) -> list[Line]:
    found = []
    for place, run in enumerate(runs):
        ahead = tuple(name for name in metric.looks if not name.startswith(SEEN))
        seen = tuple(name for name in metric.looks if name.startswith(SEEN))
        for names, of in ((metric.names, ""), (ahead, "held out"), (seen, "training prompts")):
            steps, values = series(run.points, names)
            if steps:
                found.append(Line(run.name, place, steps, values, of))
    return found


def _bound(runs: Sequence[TrainingRun]) -> float | None:
    """The bound on violations, where the runs have one and the same."""
    bounds = {float(run.section.get("violation_bound", 1.0)) for run in runs}
    bound = bounds.pop() if len(bounds) == 1 else 1.0
    return bound if bound < 1.0 else None


def _show_hacking(runs: Sequence[TrainingRun]) -> None:
    pairs = []
    for place, run in enumerate(runs):
        looks = [
            (look.kl, look.reward, look.win_rate)
            for look in watched_in(run.points)
            if look.win_rate is not None and look.kl is not None
        ]
        if len(looks) < 2:
            continue
        kl, reward, score = zip(*looks, strict=True)
        pairs.append((Line(run.name, place, kl, reward), Line(run.name, place, kl, score)))
    if not pairs:
        return
    st.header("Is the reward being gamed?")
    st.plotly_chart(hacking_figure(pairs), width="stretch", key="hacking")
    st.caption(
        "Above the reward, below how often a judge that gives no reward prefers the policy to its "
        "start, both over the distance from the start. While both rise the policy gets better; "
        "where the reward rises and the win rate falls, it exploits the reward. Each point is one "
        f"look at the same prompts{_n_words(runs)}: held-out ones, or, where the data hold none "
        "out, training prompts. The large mark is the last look."
    )


def _n_words(runs: Sequence[TrainingRun]) -> str:
    n = {looks for run in runs if (looks := n_looked_at(run)) is not None}
    return f" (n = {', '.join(f'{one:,}' for one in sorted(n))})" if n else ""


def _show_figures(runs: Sequence[TrainingRun]) -> None:
    table = figures_table(runs)
    if table.empty:
        return
    st.header("Final figures")
    st.dataframe(side_by_side(table), hide_index=True, width="stretch")
    st.caption(
        "In brackets are 95% intervals and n. A figure without an interval is a plain mean over "
        "the rows of one run: compare policies by `workbench evaluate`, not by it."
    )
    download(table, "training-figures.csv", "csv-figures")
    _show_reward_model(runs)


def _show_reward_model(runs: Sequence[TrainingRun]) -> None:
    """Learning curve and calibration of reward models."""
    if drawn := _by_people(runs, growth):
        st.subheader("Would more pairs help?")
        st.plotly_chart(growth_figure(drawn[1]), width="stretch", key="growth")
        st.caption(
            f"Accuracy of the reward model on held-out pairs {drawn[0]}, by the number of pairs "
            "that it was trained on. Bars are 95% intervals."
        )
    if drawn := _by_people(runs, confidence):
        st.subheader("Does it know how sure it may be?")
        st.plotly_chart(confidence_figure(drawn[1]), width="stretch", key="confidence")
        st.caption(
            f"How often the reward model is right on held-out pairs {drawn[0]} when its rewards "
            "say that it is this sure. Above the line it is too modest, below too sure. Bars are "
            "95% intervals."
        )


def _by_people(
    runs: Sequence[TrainingRun], curve: Callable[[Mapping[str, Any], str], list[Point]]
) -> tuple[str, list[tuple[str, int, list[Point]]]] | None:
    """Each run's curve by people's labels, or by all labels where people gave none."""
    for whose, words in (("human", "that people decided"), ("all", "by all their labels")):
        drawn = [
            (run.name, place, found)
            for place, run in enumerate(runs)
            if (found := curve(run.result or {}, whose))
        ]
        if drawn:
            return words, drawn
    return None


def _show_asked(run: TrainingRun) -> None:
    with st.expander(f"{plain(run.name)}: data, model, settings"):
        asked = run.asked
        rows = ", ".join(f"{n:,} {plain(name)}" for name, n in (asked.get("n_rows") or {}).items())
        lines = [f"- Data: {plain(str(asked.get('data')))}, {rows or 'rows not counted'}"]
        left_out = asked.get("left_out") or {}
        if left_out:
            lost = ", ".join(f"{n:,} {plain(why)}" for why, n in left_out.items())
            lines.append(f"- Left out: {lost}")
        for key, what in (("data_hash", "Data"), ("model_hash", "Model")):
            lines.append(f"- SHA-256 of the {what.lower()}: {asked.get(key) or 'not a local file'}")
        lines.append(f"- Started from: {plain(str(asked.get('model')))}")
        for key, said in (asked.get("functions") or {}).items():
            lines.append(f"- {plain(key).capitalize()}: {plain(str(said))}")
        program = asked.get("program") or {}
        revision = plain(str(program.get("git_revision") or "unknown"))
        lines.append(
            f"- Program: version {plain(str(program.get('version')))}, revision {revision}"
        )
        st.markdown("\n".join(lines))
        st.code(json.dumps(asked.get("settings"), indent=1), language="json")

"""What was imported, which rounds there are, and who labelled how much."""

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from pipelines.manifest import ImportRun, JudgedFile
from workbench.app.words import download, plain
from workbench.audit.progress import Progress, progress
from workbench.audit.rounds import RoundSummary, find_round, list_rounds
from workbench.db.session import reading
from workbench.project import Project

_SELDOM = (
    "already here",
    "rejected",
    "why rejected",
    "identical responses",
    "empty response",
    "repeated rows",
    "AI verdicts",
    "failed verdicts",
)


def render(project: Project) -> None:
    """Draw the page."""
    st.title(project.name)
    st.caption(f"Project folder: {plain(str(project.dir))}")
    manifest = project.store.manifest()
    n_pairs = sum(part.n_pairs for part in manifest.parts)
    n_verdicts = manifest.n_verdicts
    n_labels = sum(part.n_labels for part in manifest.parts)
    rounds, people = _rounds(project)
    for column, title, value in zip(
        st.columns(4),
        ("Pairs", "AI verdicts", "Human labels in rounds", "Human labels in the files"),
        (n_pairs, n_verdicts, sum(one.n_votes for one in rounds), n_labels),
        strict=True,
    ):
        column.metric(title, f"{value:,}")
    _show_imports(manifest.imports)
    _show_judged(manifest.judged)
    _show_rounds(rounds, people)


def _show_imports(imports: tuple[ImportRun, ...]) -> None:
    st.header("What was imported")
    if not imports:
        st.info("Nothing yet. `workbench import FILE` takes pairs in any of the known formats.")
        return
    table = pd.DataFrame(
        [
            {
                "file": run.file,
                "format": run.format,
                "taken": run.counts.taken,
                "already here": run.counts.known,
                "rejected": sum(run.counts.rejected.values()),
                "why rejected": ", ".join(
                    f"{count} {reason}" for reason, count in run.counts.rejected.items()
                ),
                "identical responses": run.counts.identical,
                "empty response": run.counts.empty,
                "repeated rows": run.counts.duplicate,
                "AI verdicts": sum(run.counts.verdicts.values()),
                "failed verdicts": run.counts.verdicts.get("failed", 0),
                "imported": _moment(run.started_at),
                "SHA-256": run.sha256,
            }
            for run in imports
        ]
    )
    # What never happened takes no room; the file has every column.
    shown = [name for name in table if name not in _SELDOM or table[name].astype(bool).any()]
    st.dataframe(
        table[shown].assign(**{"SHA-256": table["SHA-256"].str.slice(0, 12)}),
        hide_index=True,
        width="stretch",
    )
    st.caption(
        "Identical, empty and repeated rows are kept and flagged; rejected rows are listed with "
        "their line numbers in a file beside the import."
    )
    download(table, "imports.csv", "csv-imports")


def _show_judged(judged: tuple[JudgedFile, ...]) -> None:
    if not judged:
        return
    st.header("What this project's own judges said")
    table = pd.DataFrame(
        [{"judge": one.judge, "verdicts": one.n_verdicts, "failed": one.n_failed} for one in judged]
    )
    st.dataframe(table, hide_index=True, width="stretch")
    st.caption(
        "A judge asked in both orders gives two verdicts a pair; an ensemble gives one, and none "
        "where it cannot decide. Failed verdicts are kept and never scored."
    )
    download(table, "judged.csv", "csv-judged")


def _rounds(project: Project) -> tuple[list[RoundSummary], dict[str, Progress]]:
    with reading(project.engine) as session:
        rounds = list_rounds(session)
        return rounds, {
            one.name: progress(session, find_round(session, one.name).id) for one in rounds
        }


def _show_rounds(rounds: list[RoundSummary], people: dict[str, Progress]) -> None:
    st.header("Rounds")
    if not rounds:
        st.info("None drawn yet. Draw one on the Rounds page, or with `workbench audit draw`.")
        return
    table = pd.DataFrame(
        [
            {
                "round": one.name,
                "audited label": one.label,
                "drawn": _moment(one.created_at),
                "closed": _moment(one.closed_at) if one.closed_at else "",
                "pairs": one.n_pairs,
                "labels": one.n_votes,
                "decision": ", ".join(
                    decision if stratum == "main" else f"{stratum}: {decision}"
                    for stratum, decision in one.decisions.items()
                )
                or "UNDECIDED",
            }
            for one in rounds[::-1]
        ]
    )
    st.dataframe(table, hide_index=True, width="stretch")
    st.caption(
        f"Rounds: {len(table):,}. Labels are those that count; the Agreement page says what "
        "they decide."
    )
    download(table, "rounds.csv", "csv-rounds")
    st.header("Who labelled how much")
    _show_people(people)


def _show_people(people: dict[str, Progress]) -> None:
    table = pd.DataFrame(
        [
            {
                "annotator": person.name,
                "round": name,
                "labels": person.n_votes,
                "skips": person.n_skips,
                "last seen": _seen(person.last_action_at),
                "access": "revoked" if person.revoked else "open",
            }
            for name, one in people.items()
            for person in one.people
        ],
        columns=["annotator", "round", "labels", "skips", "last seen", "access"],
    )
    if table.empty:
        st.info("Nobody yet.")
        return
    st.dataframe(table, hide_index=True, width="stretch")
    st.caption(
        f"n = {int(table['labels'].sum()):,} labels that stand (none taken back), second labels of "
        "a pair included."
    )
    download(table, "people.csv", "csv-people")


def _seen(unix: float) -> str:
    """When somebody was last on the review page; 0: never, they answer in Argilla."""
    return _moment(unix) if unix else "in Argilla"


def _moment(unix: float) -> str:
    return f"{datetime.fromtimestamp(unix, tz=UTC):%Y-%m-%d %H:%M} UTC"

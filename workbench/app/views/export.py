"""Curated data out: choose a format and policies, see what they cost, look, download."""

import io
import json
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pipelines.errors import BadInput
from pipelines.preferences.combine import RULES
from pipelines.preferences.curate import Counts
from workbench.app.counting import Counted, count, count_disagreements, count_everything
from workbench.app.findings import all_judges, round_names
from workbench.app.words import download, plain
from workbench.export.formats import FORMAT_NAMES, FORMATS
from workbench.export.options import ExportOptions, policy_of
from workbench.export.run import run_export
from workbench.project import Project

_DISAGREEMENT = {
    "override": "the human label wins",
    "drop": "leave the pair out",
    "soft": "keep both in a soft label",
}
_TIES = {"drop": "leave ties out", "keep": "keep them as ties", "half": "soft label one half"}
_SOURCES = {"ai": "by the AI", "human": "by people", "adjudicated": "by adjudication"}
_PREVIEW_ROWS = 5


def render(project: Project) -> None:
    """Draw the page."""
    st.title("Export curated data")
    if not project.store.manifest().parts:
        st.info(
            "Nothing was imported yet: `workbench import FILE`. Then this page counts what each "
            "policy keeps, and hands out the file that a trainer reads."
        )
        return
    try:
        options = _choose(project)
        everything = options.fmt.shape == "pairs"
        counted = count_everything(project, options) if everything else count(project, options)
        _show_counts(counted, options)
        if not everything:
            _show_policies(count_disagreements(project, options, list(_DISAGREEMENT)))
    except BadInput as refusal:
        st.error(str(refusal))
        return
    st.header("The file")
    if not counted.counts.n_kept:
        st.warning("These policies leave no pair to export. Choose others above.")
        return
    if st.button(f"Prepare the {options.fmt.name} file", type="primary"):
        _prepare(project, options)
    ready = st.session_state.get("export_ready")
    if ready and ready[0] == options:
        _show_ready(*ready[1:])
    else:
        st.caption(
            "Writes the data, a data card and the audit's numbers into one zip archive, and shows "
            "its first rows. Nothing is changed in the project."
        )


def _choose(project: Project) -> ExportOptions:
    left, right = st.columns(2)
    name = left.selectbox("Format", FORMAT_NAMES)
    fmt = FORMATS[name]
    left.caption(f"{fmt.about[0].upper()}{fmt.about[1:]}.")
    rounds = round_names(project)
    chosen = right.selectbox("Human labels from", ["all rounds", *rounds])
    round_name = None if chosen == "all rounds" else chosen
    label = _choose_label(project, right)
    if fmt.shape == "pairs":
        st.caption("A pairs file holds every pair with all its labels, so no policy applies.")
        plain_fmt, policy = policy_of(name, project.config.curate)
        return ExportOptions(plain_fmt, policy, round=round_name, label=label)
    defaults = project.config.curate
    disagreement = left.radio(
        "Where people and the AI disagree",
        list(_DISAGREEMENT),
        index=list(_DISAGREEMENT).index(defaults.disagreement),
        format_func=_DISAGREEMENT.__getitem__,
    )
    possible = [policy for policy in _TIES if policy in fmt.ties]
    start = possible.index(defaults.ties) if defaults.ties in possible else 0
    ties = right.radio("Ties", possible, index=start, format_func=_TIES.__getitem__)
    test_share = left.slider(
        "Hold out for a test split (by prompt)", 0.0, 0.5, 0.0, 0.05, format="percent"
    )
    least = left.slider(
        "Least confidence of an AI label",
        0.5,
        1.0,
        0.5,
        0.01,
        format="percent",
        help="An AI label of lower probability is left out. At 50% none is.",
    )
    human_only = right.checkbox("Only pairs that a person labelled")
    pseudonyms = right.checkbox("Numbers in place of people's names")
    _, policy = policy_of(
        name,
        defaults,
        disagreement=disagreement,
        ties=ties,
        human_only=human_only,
        min_confidence=least if least > 0.5 else None,
    )
    return ExportOptions(
        fmt,
        policy,
        round=round_name,
        label=label,
        test_share=test_share,
        pseudonyms=pseudonyms,
    )


def _choose_label(project: Project, place: DeltaGenerator) -> str | None:
    """Whose AI label leaves, where there is a choice; None leaves it to the rounds."""
    judges = [judge.name for judge in all_judges(project)]
    if len(judges) < 2:
        return None
    audited = "the label that was audited"
    possible = [audited, *judges, *RULES] if round_names(project) else [*judges, *RULES]
    chosen = place.selectbox("AI label", possible)
    return None if chosen == audited else chosen


def _show_counts(done: Counted, options: ExportOptions) -> None:
    counts = done.counts
    st.header(f"{counts.n_kept:,} of {counts.n_pairs:,} pairs")
    sources = ", ".join(f"{n:,} {_SOURCES.get(name, name)}" for name, n in _told(counts))
    st.markdown(
        f"Their labels: {sources or 'none'}. AI label: {plain(done.label or 'none')}. "
        f"n = {done.n_votes:,} labels of people in {plain(options.round or 'all rounds')}."
    )
    table = pd.DataFrame(
        [
            {
                "step": step.name,
                "policy": step.policy,
                "in": step.n_in,
                "out": step.n_out,
                "left out": step.n_in - step.n_out,
                "why": ", ".join(f"{n:,} {why}" for why, n in step.dropped.items()),
            }
            for step in counts.steps
        ]
    )
    if not table.empty:
        st.dataframe(table, hide_index=True, width="stretch")
        st.caption(
            "Each row is one policy, in the order in which they apply: how many pairs came to it, "
            "how many went on, and why the others did not."
        )
        download(table, "export-counts.csv", "csv-counts")


def _told(counts: Counts) -> list[tuple[str, int]]:
    return [(name, n) for name, n in counts.kept_by_source.items() if n]


def _show_policies(found: dict[str, Counts]) -> None:
    st.header("What each policy does to the counts")
    table = pd.DataFrame(
        [
            {
                "where people and the AI disagree": _DISAGREEMENT[name],
                "pairs": counts.n_kept,
            }
            | {f"label {label}": n for label, n in counts.kept_by_label.items()}
            for name, counts in found.items()
        ]
    )
    st.dataframe(table, hide_index=True, width="stretch")
    n_pairs = next(iter(found.values())).n_pairs
    st.caption(f"n = {n_pairs:,} pairs under each; all other settings as chosen above.")
    download(table, "export-policies.csv", "csv-policies")


def _prepare(project: Project, options: ExportOptions) -> None:
    with tempfile.TemporaryDirectory() as folder, st.spinner("Writing..."):
        name = options.fmt.name
        out = Path(folder) / (
            "curated" if options.fmt.folder else f"curated.{options.fmt.container}"
        )
        try:
            done = run_export(project, replace(options, out=out, force=True))
        except BadInput as refusal:
            st.error(str(refusal))
            return
        files = [Path(file) for file in done.files]
        preview = _preview(next(file for file in files if file.suffix in (".jsonl", ".parquet")))
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bundle:
            for file in files:
                bundle.write(file, file.relative_to(folder))
    st.session_state["export_ready"] = (options, archive.getvalue(), preview, f"{name}.zip")


def _preview(file: Path) -> pd.DataFrame:
    if file.suffix == ".parquet":
        rows = next(pq.ParquetFile(file).iter_batches(_PREVIEW_ROWS)).to_pylist()
    else:
        with file.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for _, line in zip(range(_PREVIEW_ROWS), lines, strict=False)]
    # Prompts may be texts or messages; a table shows both as text.
    return pd.DataFrame(
        [
            {
                key: json.dumps(value, ensure_ascii=False)
                if isinstance(value, list | dict)
                else value
                for key, value in row.items()
            }
            for row in rows
        ]
    )


def _show_ready(content: bytes, preview: pd.DataFrame, file_name: str) -> None:
    st.download_button(
        f"Download {file_name} ({len(content) / 1e6:.1f} MB)",
        content,
        file_name=file_name,
        mime="application/zip",
        on_click="ignore",
        icon=":material/download:",
    )
    st.caption(f"The data, the data card and the audit's numbers. First {len(preview)} rows:")
    st.dataframe(preview, hide_index=True, width="stretch")
    download(preview, "export-preview.csv", "csv-preview")

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

from pipelines.errors import BadInput
from workbench.app.findings import round_names
from workbench.app.words import download
from workbench.export.formats import FORMAT_NAMES, FORMATS
from workbench.export.options import ExportOptions, policy_of
from workbench.export.run import Export, run_export
from workbench.project import Project

_DISAGREEMENT = {
    "override": "the human label wins",
    "drop": "leave the pair out",
    "soft": "keep both in a soft label",
}
_TIES = {"drop": "leave ties out", "keep": "keep them as ties", "half": "soft label one half"}
_PREVIEW_ROWS = 5


def render(project: Project) -> None:
    """Draw the page."""
    st.title("Export curated data")
    if not project.store.manifest().parts:
        st.info("Nothing was imported yet: `workbench import FILE`.")
        return
    try:
        options = _choose(project)
        counted = run_export(project, replace(options, dry_run=True))
    except BadInput as refusal:
        st.error(f"{refusal}")
        return
    _show_counts(counted)
    if options.fmt.shape != "pairs":
        _show_policies(project, options)
    if st.button(f"Prepare the {options.fmt.name} file", type="primary"):
        _prepare(project, options)
    ready = st.session_state.get("export_ready")
    if ready and ready[0] == options:
        _show_ready(*ready[1:])


def _choose(project: Project) -> ExportOptions:
    left, right = st.columns(2)
    name = left.selectbox(
        "Format", FORMAT_NAMES, format_func=lambda name: f"{name}: {FORMATS[name].about}"
    )
    fmt = FORMATS[name]
    rounds = round_names(project)
    chosen = right.selectbox("Human labels from", ["all rounds", *rounds])
    if fmt.shape == "pairs":
        st.caption("A pairs file holds every pair with all its labels, so no policy applies.")
        plain_fmt, policy = policy_of(name, project.config.curate)
        return ExportOptions(plain_fmt, policy, round=None if chosen == "all rounds" else chosen)
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
    human_only = right.checkbox("Only pairs that a person labelled")
    _, policy = policy_of(
        name, defaults, disagreement=disagreement, ties=ties, human_only=human_only
    )
    return ExportOptions(
        fmt,
        policy,
        round=None if chosen == "all rounds" else chosen,
        test_share=test_share,
    )


def _show_counts(done: Export) -> None:
    st.subheader(f"{done.counts.n_kept:,} of {done.counts.n_pairs:,} pairs")
    table = pd.DataFrame(
        [
            {
                "step": step.name,
                "policy": step.policy,
                "in": step.n_in,
                "out": step.n_out,
                "left out": step.n_in - step.n_out,
                "why": ", ".join(f"{n} {why}" for why, n in step.dropped.items()),
            }
            for step in done.counts.steps
        ]
    )
    if not table.empty:
        st.dataframe(table, hide_index=True, width="stretch")
        download(table, "export-counts.csv", "csv-counts")
    sources = ", ".join(f"{n:,} {name}" for name, n in done.counts.kept_by_source.items())
    st.caption(f"Labels by source: {sources}. AI label: {done.label or 'none'}.")


def _show_policies(project: Project, options: ExportOptions) -> None:
    rows = []
    for disagreement, meaning in _DISAGREEMENT.items():
        policy = replace(options.policy, disagreement=disagreement)
        try:
            counts = run_export(project, replace(options, policy=policy, dry_run=True)).counts
        except BadInput:
            rows.append({"where people and the AI disagree": meaning, "pairs": 0})
            continue
        rows.append(
            {"where people and the AI disagree": meaning, "pairs": counts.n_kept}
            | {f"label {name}": n for name, n in counts.kept_by_label.items()}
        )
    with st.expander("What each policy does to the counts"):
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")


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

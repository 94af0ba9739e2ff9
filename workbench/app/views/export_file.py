"""The file of an export: written on demand, kept on disk, handed out with its first rows."""

import json
import tempfile
import zipfile
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import streamlit as st

from pipelines.errors import BadInput
from workbench.app.handing import hand_out, is_there, new_place
from workbench.app.stamps import Stamp, all_rounds_stamp, store_stamp
from workbench.app.words import download
from workbench.export.options import ExportOptions
from workbench.export.run import run_export
from workbench.project import Project

_PREVIEW_ROWS = 5


@dataclass(frozen=True)
class _Ready:
    """A file that is prepared; the file itself lies on the server's disk."""

    of: tuple[object, ...]  # the settings, and what labels and pairs there were
    address: str
    file_name: str
    n_bytes: int
    preview: pd.DataFrame


def show_file(project: Project, options: ExportOptions) -> None:
    """A button that writes the file, then the file; gone when settings, pairs or labels change."""
    now = (options, store_stamp(project), all_rounds_stamp(project))
    if st.button(f"Prepare the {options.fmt.name} file", type="primary"):
        _prepare(project, now)
    ready: _Ready | None = st.session_state.get("export_ready")
    if ready is not None and ready.of == now and is_there(ready.address):
        _show_ready(ready)
        return
    st.caption(
        "Writes the data, a data card and the audit's numbers into one zip archive, and shows "
        "its first rows. Nothing is changed in the project."
    )


def _prepare(project: Project, of: tuple[ExportOptions, Stamp, Stamp]) -> None:
    options = of[0]
    with tempfile.TemporaryDirectory() as folder, st.spinner("Writing..."):
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
        archive = new_place(f"{options.fmt.name}.zip")
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bundle:
            for file in files:
                bundle.write(file, file.relative_to(folder))
    st.session_state["export_ready"] = _Ready(
        of, hand_out(archive), archive.name, archive.stat().st_size, preview
    )


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


def _show_ready(ready: _Ready) -> None:
    name = escape(ready.file_name)
    st.html(
        f'<a class="handed" href="{escape(ready.address)}" download="{name}">'
        f"Download {name} ({ready.n_bytes / 1e6:.1f} MB)</a>"
    )
    preview = ready.preview
    st.caption(f"The data, the data card and the audit's numbers. First {len(preview)} rows:")
    st.dataframe(preview, hide_index=True, width="stretch")
    download(preview, "export-preview.csv", "csv-preview")

"""What `workbench pairs` leaves behind: `runs/pairs/pairs.parquet` and its `manifest.json`."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.agreement.annotations import LABEL_NAMES
from pipelines.config import PairsSection
from pipelines.disk import sync
from pipelines.errors import BadInput
from pipelines.preferences.curate import SOURCES
from pipelines.provenance import git_revision, program_version
from workbench.pairs.chain import PairSet
from workbench.project import Project

FOLDER = Path("runs") / "pairs"
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("label", pa.string()),
        ("p_a", pa.float64()),  # probability that response_a is the better one
        ("margin", pa.float64()),  # |2 p_a - 1|
        ("source", pa.string()),  # ai, human, adjudicated
        ("weight", pa.float64()),
        ("split", pa.string()),
        ("dropped", pa.string()),  # why; null for a pair that is kept
        ("flag", pa.string()),  # what the constitution's hard rule says of it; null for nothing
    ]
)


def settings_of(project: Project) -> dict[str, Any]:
    """What decides the outcome beside `[pairs]`, the pairs and their labels, as JSON keeps it."""
    config = project.config
    doubt = {spec.name: spec.abstain_below for spec in config.judges if spec.doubt is not None}
    return {"curate": config.curate.model_dump(mode="json"), "abstain_below": doubt}


def write_pairs(project: Project, made: PairSet, options: PairsSection) -> list[Path]:
    """Keep the outcome, every pair with its fate; both files appear whole.

    Raises:
        BadInput: The folder cannot be written.
    """
    folder = project.dir / FOLDER
    data, manifest = folder / "pairs.parquet", folder / "manifest.json"
    facts = {
        "settings": options.model_dump(mode="json"),
        **settings_of(project),
        **made.as_dict(),
        "content_hash": project.store.content_hash(),
        "version": program_version(),
        "git_revision": git_revision(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = data.with_suffix(".partial")
        pq.write_table(_table(project.store.pair_ids(), made), partial, compression="zstd")
        sync(partial)
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        told = manifest.with_suffix(".partial")
        told.write_text(text, encoding="utf-8")
        sync(told)
        partial.replace(data)
        told.replace(manifest)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written ({error.strerror}); make room") from error
    return [data, manifest]


def _table(ids: list[str], made: PairSet) -> pa.Table:
    curated = made.curated
    kept = [not reason for reason in made.reasons]
    p_a = curated.p_a.tolist()
    columns: list[list[object]] = [
        list(ids),
        [LABEL_NAMES[code] if code >= 0 else None for code in curated.label.tolist()],
        [None if p != p else p for p in p_a],
        [None if p != p else abs(2.0 * p - 1.0) for p in p_a],
        [SOURCES[code] if code >= 0 else None for code in curated.source.tolist()],
        made.weight.tolist(),
        [name if here else None for name, here in zip(made.split, kept, strict=True)],
        [reason or None for reason in made.reasons],
        [made.flags.get(row) for row in range(len(ids))],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)

"""Trained labelers of a project (`runs/labelers/NAME`): its labels in, labels of all pairs out."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import BadInput, Undefined
from pipelines.formats.fingerprints import has_text
from pipelines.judge.derived import is_stale, make_record, read_record, write_record
from pipelines.judge.labeler.card import Labelled
from pipelines.judge.labeler.fit import load_labeler
from pipelines.preferences.audited import audited_labels
from pipelines.records import Judgment, PreferencePair
from workbench.export.material import gather
from workbench.pairs.learned import edge_flags
from workbench.pairs.progress import OnPair
from workbench.project import Project

_CHUNK = 512


@dataclass(frozen=True)
class Applied:
    """What became of the pairs."""

    judge: str
    n_pairs: int  # labelled
    n_out_of_fold: int  # of them, by models that never saw the pair's prompt
    n_empty: int  # without texts, left out

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def labeler_folder(project_dir: Path, name: str) -> Path:
    """Where a labeler is kept."""
    return project_dir / "runs" / "labelers" / name


def human_labels(project: Project, round_name: str | None) -> Labelled:
    """All pairs that people labelled without the AI's label in sight, with their labels.

    Raises:
        BadInput: No pairs, or no such round.
        Undefined: Nobody has labelled any.
    """
    # Which AI label stands beside people's does not matter here; a rule always has a name.
    judges = project.annotations().judges
    material = gather(project, round_name, "majority" if judges else None)
    evidence = material.blind_evidence()
    audited = audited_labels(evidence, material.annotations.prompt, edge_flags(material))
    if not len(audited):
        seen = (
            " without the AI's in sight"
            if (material.evidence.round_votes != evidence.round_votes).any()
            else ""
        )
        raise Undefined(f"no pair has a human label{seen} yet; label some, or import labels")
    return Labelled(project.store.pairs(audited.row.tolist()), audited)


def is_applied(project: Project, name: str, stored_as: str) -> bool:
    """Whether the labeler as it is has labelled the pairs as they are, under this name."""
    record = read_record(project.dir, stored_as)
    return (
        record is not None
        and not is_stale(project.store, record)
        and stored_as in {file.judge for file in project.store.manifest().judged}
        and record.settings.get("labeler") == _fingerprint(project, name)
    )


def _fingerprint(project: Project, name: str) -> str:
    """Names the labeler's data card and the pairs: another fit, another fingerprint."""
    card = (labeler_folder(project.dir, name) / "labeler.json").read_bytes()
    texts = project.store.text_hashes()
    return hashlib.sha256(card + texts.tobytes()).hexdigest()


def apply_labeler(
    project: Project, name: str, on_pair: OnPair, *, stored_as: str | None = None
) -> Applied:
    """Store a labeler's judgments on all pairs of the project under its name, or another.

    Pairs that it was fitted on get their out-of-fold labels, so that holding it against people
    stays honest.

    Raises:
        BadInput: No such labeler, or imported verdicts have its name.
    """
    labeler = load_labeler(labeler_folder(project.dir, name))
    fingerprint = _fingerprint(project, name)
    name = stored_as or name
    store = project.store
    project.store.check_judge_name(name)
    n_pairs = len(store)
    if not n_pairs:
        raise BadInput(f"{project.dir}: no pairs yet; `workbench import FILE` brings some")
    rows = store.rows_of(list(labeler.card.pair_ids))
    held = {
        row: p_a
        for row, p_a in zip(rows.tolist(), labeler.card.out_of_fold, strict=True)
        if row >= 0
    }
    n_empty = 0

    def judgments() -> Iterator[tuple[int, Judgment]]:
        nonlocal n_empty
        pairs = store.iter_texts(np.ones(n_pairs, dtype=np.bool_))
        while chunk := list(islice(pairs, _CHUNK)):
            shown: list[tuple[int, PreferencePair]] = [
                (row, pair) for row, pair in chunk if has_text(pair)
            ]
            n_empty += len(chunk) - len(shown)
            p_a = labeler.p_a([pair for _, pair in shown]) if shown else np.zeros(0)
            for (row, _), p in zip(shown, p_a.tolist(), strict=True):
                yield row, Judgment(judge=name, p_a=held.get(row, p))
            on_pair(chunk[-1][0] + 1, n_pairs)

    learned = np.zeros(n_pairs, dtype=np.bool_)
    learned[list(held)] = True
    record = make_record(
        store,
        name,
        f"trained labeler ({labeler.card.kind})",
        (),
        learned,
        {
            "out_of_fold_on_learned_pairs": True,
            **labeler.card.settings,
            "labeler": fingerprint,
        },
    )
    n_labelled = store.put_judgments_by_row(name, judgments())
    write_record(project.dir, record)
    return Applied(name, n_labelled, len(held), n_empty)

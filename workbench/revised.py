"""The files that `workbench revise` leaves in `runs/revise/`, all made from its log."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.constitution.loop import RevisePlan
from pipelines.constitution.measure import ReviseStatistics, measure
from pipelines.constitution.outputs import (
    JUDGE,
    critique_rows,
    pair_line,
    preference_pair,
    sft_row,
)
from pipelines.constitution.runner import ReviseFolder, finished
from pipelines.constitution.trajectory import Response, Trajectory
from pipelines.disk import write_whole
from pipelines.records import PreferencePair
from workbench.export.columns import columns_of, stand_ins, without_nulls
from workbench.export.formats import format_named
from workbench.export.rows import Outcome, RowMaker
from workbench.export.texts import PairTexts


@dataclass(frozen=True)
class Written:
    """The files of a run, and what is in them."""

    n_trajectories: int
    n_sft: int
    n_sft_critiques: int
    n_pairs: int
    no_pair: dict[str, int]  # by reason
    files: list[Path]


def write_outputs(
    project_dir: Path,
    responses: Callable[[], Iterable[Response]],
    plan: RevisePlan,
    formats: Sequence[str],
) -> tuple[ReviseStatistics, Written]:
    """Trajectories, demonstrations, pairs and statistics, each file replaced whole.

    Args:
        project_dir: The project's folder.
        responses: Those that were wanted.
        plan: Under which they were revised.
        formats: Of `workbench export`, for the pairs.
    """
    folder = ReviseFolder(project_dir)
    constitution = plan.constitution

    def trajectories() -> Iterator[Trajectory]:
        return finished(project_dir, responses(), plan.hash())

    no_pair: dict[str, int] = {}

    def pairs() -> Iterator[PreferencePair]:
        no_pair.clear()
        for one in trajectories():
            made = preference_pair(one, constitution, plan.reviser)
            if isinstance(made, str):
                no_pair[made] = no_pair.get(made, 0) + 1
            else:
                yield made

    shown = (one.model_dump(mode="json", exclude_none=True) for one in trajectories())
    n_trajectories = _write_lines(folder.trajectories, shown)
    sft = (sft_row(one, plan.constitution_hash) for one in trajectories())
    n_sft = _write_lines(folder.sft, (row for row in sft if row is not None))
    n_critiques = _write_lines(
        folder.sft_critiques,
        (row for one in trajectories() for row in critique_rows(one, constitution)),
    )
    n_pairs = _write_lines(folder.pairs, (pair_line(pair) for pair in pairs()))
    files = [folder.trajectories, folder.sft, folder.sft_critiques, folder.pairs]
    folder.exports.mkdir(parents=True, exist_ok=True)
    for name in formats:
        path = folder.exports / f"{name}.jsonl"
        _write_lines(path, _export_rows(name, pairs()))
        files.append(path)
    for path in [folder.sft, *(file for file in files if file.parent == folder.exports)]:
        files.append(_write_audit_file(path, plan))
    statistics = measure(trajectories(), [one.id for one in constitution.principles])
    about = {
        "constitution_hash": plan.constitution_hash,
        "constitution": constitution.model_dump(mode="json"),
        "critic": plan.critic,
        "reviser": plan.reviser,
        "plan_hash": plan.hash(),
        **asdict(statistics),
    }
    write_whole(folder.statistics, json.dumps(about, indent=1, ensure_ascii=False))
    files.append(folder.statistics)
    return statistics, Written(n_trajectories, n_sft, n_critiques, n_pairs, dict(no_pair), files)


def audit_file(data: Path) -> Path:
    """Where it stands whose labels a file of data holds, as beside an export."""
    return data.with_name(f"{data.name}.audit.json")


def _write_audit_file(data: Path, plan: RevisePlan) -> Path:
    """Say who made the data, so that an evaluation knows when one of them judges it."""
    asked = {plan.critic: plan.critic_asked, plan.reviser: plan.reviser_asked}
    models = [json.loads(text)["model"] if text else name for name, text in asked.items()]
    facts = {
        "label": models[0],
        "ai": {"judges": list(dict.fromkeys(models))},
        "made_by": {"critic": plan.critic, "reviser": plan.reviser, "plan_hash": plan.hash()},
        "constitution_hash": plan.constitution_hash,
    }
    path = audit_file(data)
    write_whole(path, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return path


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Replace a JSON Lines file in one step; how many lines it has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, n_rows = path.with_name(path.name + ".partial"), 0
    with partial.open("w", encoding="utf-8", errors="surrogatepass") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            n_rows += 1
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return n_rows


def _export_rows(name: str, pairs: Iterable[PreferencePair]) -> Iterator[dict[str, Any]]:
    """The pairs in a trainer's format, as `workbench export` writes it."""
    fmt = format_named(name)
    columns = columns_of(fmt, margin=False)
    fillers = stand_ins(columns)
    maker = RowMaker(fmt, True, tuple(column.name for column in columns), JUDGE)
    for pair in pairs:
        for row in maker.rows(_texts(pair), _outcome(pair)):
            yield without_nulls(row, fillers)


def _texts(pair: PreferencePair) -> PairTexts:
    return PairTexts(
        pair.id or "",
        json.loads(pair.prompt_json()),
        pair.response_a,
        pair.response_b,
        pair.model_a,
        pair.model_b,
        pair.source,
        pair.subset,
        json.dumps(pair.meta, ensure_ascii=False),
    )


def _outcome(pair: PreferencePair) -> Outcome:
    label = pair.ai[0].label
    if label is None:
        raise ValueError("a revised pair has a label")
    return Outcome(
        label=label,
        p_a=1.0 if label == "A" else 0.0,
        weight=1.0,
        label_source="ai",
        human_label=None,
        n_human_labels=0,
        ai_label=label,
        ai_p_a=None,
        agrees=None,
        orders="",
        identical=False,
        drawn=None,
        imported_by=(),
    )

"""What `workbench pairs` learns from people: corrected and recalibrated labels of a project."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from pipelines.agreement.annotations import NONE, BoolArray, FloatArray
from pipelines.config import PairsSection
from pipelines.errors import BadInput, Undefined
from pipelines.judge.derived import make_record, read_record, write_record
from pipelines.preferences import correction, recalibrate
from pipelines.preferences.audited import Audited, audited_labels
from pipelines.preferences.combine import is_derived
from pipelines.preferences.correction import Correction, CorrectionModel, learn_correction
from pipelines.preferences.curate import ai_soft_label
from pipelines.preferences.recalibrate import Recalibration
from pipelines.records import Judgment, PreferencePair
from workbench.audit.design import EDGE
from workbench.export.material import Material
from workbench.pairs.progress import OnPair
from workbench.project import Project

_CHUNK = 1_024


@dataclass(frozen=True)
class Learned:
    """The label that goes on, as a soft label of each pair, and how it came about.

    `soft` is NaN where the AI gave no label. Where people labelled a pair, `soft` comes from models
    that never saw its prompt, so holding it against people stays honest.
    """

    soft: FloatArray  # (n_pairs,)
    stored_as: str | None  # the judge that new labels were stored under; None for the AI's own
    correction: Correction | None
    recalibration: Recalibration | None
    n_labels: int
    notes: tuple[str, ...]  # why nothing was learned, warnings


def learn(
    project: Project, material: Material, options: PairsSection, *, store: bool, on_pair: OnPair
) -> Learned:
    """Correct and recalibrate one label of a project, as far as its audit shows that it pays.

    Args:
        project: The project.
        material: Its pairs and labels, gathered for one AI label.
        options: `[pairs]`.
        store: Keep new labels as a judge of the project.
        on_pair: Called with pairs done and pairs in all.
    """
    name = material.label
    evidence = material.evidence
    soft = ai_soft_label(evidence.ai_label, evidence.ai_p_a)
    wanted = options.correct or options.recalibrate != "off"
    if name is None or not wanted:
        return Learned(soft, None, None, None, 0, ())
    if is_derived(name) and name.endswith((correction.SUFFIX, recalibrate.SUFFIX)):
        raise BadInput(
            f'"{name}" was made from people\'s labels already; name the judge that it was made of'
        )
    blind = material.blind_evidence()
    audited = _with_label(
        audited_labels(blind, material.annotations.prompt, edge_flags(material)), soft
    )
    notes: list[str] = []
    n_assisted = int((evidence.round_votes - blind.round_votes).sum())
    if n_assisted:
        notes.append(f"nothing is learned from {n_assisted:,} labels given with the AI's in sight")
    corrected: Correction | None = None
    calibrated: Recalibration | None = None
    try:
        correction.check_labelled(audited)
        if options.recalibrate != "off":
            calibrated = recalibrate.recalibrate(
                soft[audited.row],
                audited,
                np.random.default_rng(options.seed),
                method=options.recalibrate,
            )
        if options.correct:
            corrected = learn_correction(
                project.store.pairs(audited.row.tolist()),
                soft[audited.row],
                audited,
                np.random.default_rng(options.seed),
                derived=_made_of_labels(project, material.annotations.judges),
            )
            notes += corrected.warnings
    except Undefined as why:
        notes.append(f"nothing learned from people's labels: {why}")
    made, stored_as = soft, None
    if corrected is not None and corrected.applied:
        stored_as = name + correction.SUFFIX
        made = _corrected(project, corrected.model, soft, on_pair)
        made[audited.row] = corrected.p_a
    elif calibrated is not None and calibrated.applied:
        stored_as = name + recalibrate.SUFFIX
        made = calibrated.map.p_a(soft)
        made[audited.row] = calibrated.p_a
    older = [
        made_before
        for made_before in (name + correction.SUFFIX, name + recalibrate.SUFFIX)
        if made_before in material.annotations.judges and made_before != stored_as
    ]
    notes += [f'judge "{one}" of an earlier run is still stored, and not used' for one in older]
    if store and stored_as is not None:
        _store(project, stored_as, made, name, audited, corrected, calibrated)
    return Learned(made, stored_as, corrected, calibrated, len(audited), tuple(notes))


def edge_flags(material: Material) -> BoolArray:
    """Pairs that were queued as edge cases, shape (n_pairs,)."""
    edge = np.zeros(material.annotations.n_pairs, dtype=np.bool_)
    edge[[row for row, pair in material.drawn.items() if pair.stratum == EDGE]] = True
    return edge


def _with_label(audited: Audited, soft: FloatArray) -> Audited:
    """Those of the audited pairs that the AI gave a label."""
    has = ~np.isnan(soft[audited.row])
    return Audited(
        audited.row[has],
        audited.p_a[has],
        audited.weight[has],
        audited.edge[has],
        audited.prompt[has],
    )


def _made_of_labels(project: Project, judges: Sequence[str]) -> list[str]:
    """Judges that know people's labels, or may: they are not evidence of their own."""
    return [
        judge
        for judge in judges
        if is_derived(judge) or read_record(project.dir, judge) is not None
    ]


def _corrected(
    project: Project, model: CorrectionModel, soft: FloatArray, on_pair: OnPair
) -> FloatArray:
    """The corrected soft label of each pair that has an AI label."""
    made = soft.copy()
    for rows, pairs in _chunks(project):
        has = np.flatnonzero(~np.isnan(soft[rows]))
        if has.size:
            some = [pairs[k] for k in has.tolist()]
            made[rows[has]] = model.p_a(some, soft[rows[has]])
        on_pair(int(rows[-1]) + 1, len(soft))
    return made


def _chunks(project: Project) -> Iterator[tuple[npt.NDArray[np.int64], list[PreferencePair]]]:
    pairs, first = project.store.iter_pairs(), 0
    while chunk := list(islice(pairs, _CHUNK)):
        yield np.arange(first, first + len(chunk)), chunk
        first += len(chunk)


def _store(
    project: Project,
    name: str,
    made: FloatArray,
    judge: str,
    audited: Audited,
    corrected: Correction | None,
    calibrated: Recalibration | None,
) -> None:
    learned = np.zeros(len(made), dtype=np.bool_)
    learned[audited.row] = True
    settings: dict[str, object] = {"out_of_fold_on_learned_pairs": True}
    if corrected is not None and corrected.applied:
        method = "judge correction"
        settings |= {
            "why": corrected.why,
            "over_judge": corrected.over_judge.as_dict(),
            "over_no_judge": corrected.over_no_judge.as_dict(),
            "coefficients": corrected.model.judge_coefficients(),
        }
    elif calibrated is not None:
        method = f"recalibration ({calibrated.map.method})"
        settings |= {"why": calibrated.why, "parameters": list(calibrated.map.parameters)}
    else:
        raise ValueError("nothing was learned, so there is nothing to store")
    known = project.annotations().judges
    members = (judge,) if judge in known else tuple(one for one in known if not is_derived(one))
    record = make_record(project.store, name, method, members, learned, settings)
    project.store.put_judgments_by_row(
        name,
        (
            (row, Judgment(judge=name, p_a=float(p_a)))
            for row, p_a in enumerate(made.tolist())
            if p_a == p_a  # NaN: the AI gave no label
        ),
    )
    write_record(project.dir, record)


def sides(soft: FloatArray) -> npt.NDArray[np.int8]:
    """Label codes of soft labels; NaN is NONE."""
    label = np.where(soft > 0.5, 0, np.where(soft < 0.5, 1, 2))
    return np.where(np.isnan(soft), NONE, label).astype(np.int8)

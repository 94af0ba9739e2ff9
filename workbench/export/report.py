"""The numbers of a project: what was imported, who agrees with whom, what was certified, the cost.

Nothing is estimated here that was not measured: what is undefined is None.
"""

from typing import Any

import numpy as np
from sqlalchemy import func, select

from pipelines.agreement.annotations import Annotations
from pipelines.agreement.report import ReportOptions, agreement_report, human_agreement
from pipelines.manifest import ImportRun
from pipelines.preferences.combine import combine_judge, is_derived
from workbench.audit.certificate import make_certificate
from workbench.audit.progress import progress
from workbench.audit.rounds import RoundSummary, list_rounds
from workbench.db.models import Annotator, Round, Vote
from workbench.db.session import reading
from workbench.export.cost_comparison import cost_comparison
from workbench.project import Project

# A vote of a simulated annotator took nobody's time.
_SIMULATED = "simulated"


def project_report(project: Project) -> dict[str, Any]:
    """Everything that `workbench report` says, as JSON."""
    annotations = project.annotations()
    with reading(project.engine) as session:
        rounds = list_rounds(session)
    certified = [_round(project, found) for found in rounds]
    costs = _costs(project, certified)
    # An ensemble's labels cost nothing beyond those that it is made of.
    paid = [place for place, one in enumerate(annotations.judges) if not is_derived(one)]
    n_verdicts = int(np.isin(annotations.verdict_judge, paid).sum())
    return {
        "project": project.name,
        "imported": {
            "n_pairs": annotations.n_pairs,
            "n_identical": annotations.n_identical,
            "n_duplicate": annotations.n_duplicate,
            "n_empty": annotations.n_empty,
            "files": [_file(run) for run in project.store.manifest().imports],
        },
        **_agreement(annotations),
        "rounds": certified,
        "costs": costs,
        "cost_comparison": cost_comparison(
            project, annotations.n_pairs, n_verdicts, costs["human_usd"]
        ),
    }


def _file(run: ImportRun) -> dict[str, Any]:
    return {
        "file": run.file,
        "format": run.format,
        "n_taken": run.counts.taken,
        "n_rejected": sum(run.counts.rejected.values()),
        "rejected": run.counts.rejected,
        "sha256": run.sha256,
    }


def _agreement(annotations: Annotations) -> dict[str, Any]:
    """Judges and people on the labels that came with the pairs."""
    combined = {judge: combine_judge(annotations, judge) for judge in annotations.judges}
    labels = {judge: found.label for judge, found in combined.items()}
    report = agreement_report(annotations, labels)
    ceiling = human_agreement(annotations, ReportOptions())
    judges = {
        judge: {
            "n_pairs": int((found.label >= 0).sum()),
            "n_failed": found.n_failed,
            "n_abstained": found.n_abstained,
            "n_unsure": found.n_unsure,
            "imported_labels": report["judges"][judge]["by_label"],
            "position": report["judges"][judge]["position"],
        }
        for judge, found in combined.items()
    }
    people = report["humans"]
    return {
        "judges": judges,
        "imported_labels": {
            "n_annotators": people["n_annotators"],
            "n_labels": people["n_labels"],
            "human_human": None if ceiling is None else ceiling.as_dict(),
        },
    }


def _round(project: Project, found: RoundSummary) -> dict[str, Any]:
    whole = make_certificate(project, found.name).model_dump(mode="json")
    with reading(project.engine) as session:
        round_id = session.scalars(select(Round.id).where(Round.name == found.name)).one()
        done = progress(session, round_id)
    strata = [
        {
            key: part[key]
            for key in (
                *("name", "decision", "agreement", "alpha", "n_population", "excluded"),
                *("n_drawn", "n_read", "n_waiting", "n_tie", "n_unanswered"),
                *("n_labels_to_decision", "fixed_sample", "pairs_hash", "labels_hash"),
            )
        }
        for part in whole["strata"]
    ]
    for part in strata:
        fixed = part["fixed_sample"]
        part["n_fixed_sample"] = fixed and fixed["n_labels"]
        del part["fixed_sample"]
        decided = part["n_labels_to_decision"]
        part["n_labels_saved"] = part["n_fixed_sample"] - decided if fixed and decided else None
    return {
        "name": found.name,
        "label": found.label,
        "mode": found.mode,
        "created_at": found.created_at,
        "closed_at": found.closed_at,
        "decision": whole["decision"],
        "says": whole["says"],
        "n_slots_answered": done.answered,
        "n_slots_asked": done.asked,
        "people": [{"name": one.name, "n_votes": one.n_votes} for one in done.people],
        "human_ceiling": whole["human_ceiling"],
        "strata": strata,
        "design_hash": whole["design_hash"],
    }


def _costs(project: Project, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Time that people spent, and labels that deciding early saved."""
    config = project.config
    live = Vote.undone_at.is_(None)
    people = (live, Vote.origin != _SIMULATED)
    with reading(project.engine) as session:
        n_votes = session.scalar(select(func.count()).where(*people)) or 0
        n_simulated = session.scalar(select(func.count()).where(live)) or 0
        n_timed = session.scalar(select(func.count(Vote.seconds)).where(*people)) or 0
        seconds = session.scalar(select(func.sum(Vote.seconds)).where(*people)) or 0.0
        n_people = session.scalar(
            select(func.count(func.distinct(Annotator.id)))
            .join(Vote, Vote.annotator_id == Annotator.id)
            .where(*people)
        )
    hours = seconds / 3600.0 if n_timed else None
    saved = [part["n_labels_saved"] for one in rounds for part in one["strata"]]
    known = [n for n in saved if n is not None]
    n_saved = sum(known) if known else None
    # What a label takes: measured where it was, else the project file's figure.
    seconds_per_label = seconds / n_timed if n_timed else config.audit.seconds_per_pair
    return {
        "n_people": n_people or 0,
        "n_votes": n_votes,
        "n_simulated_votes": n_simulated - n_votes,
        "n_timed_votes": n_timed,
        "human_hours": hours,
        "human_usd": None if hours is None else hours * config.costs.usd_per_hour,
        "usd_per_hour": config.costs.usd_per_hour,
        "seconds_per_label": seconds_per_label,
        "seconds_per_label_measured": bool(n_timed),
        "n_labels_saved": n_saved,
        "hours_saved": None if n_saved is None else n_saved * seconds_per_label / 3600.0,
    }

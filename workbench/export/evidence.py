"""The facts behind an export, as JSON: what the data card is written from, and kept beside it."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.agreement.annotations import NONE
from pipelines.agreement.comparison import compare
from pipelines.agreement.reference import human_reference
from pipelines.agreement.report import ReportOptions, human_agreement
from pipelines.preferences.curate import FATES, JUDGE_ABSTAINED, JUDGE_FAILED, NO_VERDICT
from pipelines.provenance import git_revision, program_version
from workbench.export.columns import columns_of
from workbench.export.material import Material
from workbench.export.options import ExportOptions
from workbench.export.places import Places
from workbench.project import Project

if TYPE_CHECKING:
    from workbench.export.run import Export

_ABSENT = (NO_VERDICT, JUDGE_FAILED, JUDGE_ABSTAINED)


def facts_of(
    project: Project,
    options: ExportOptions,
    material: Material,
    export: "Export",
    target: Places,
) -> dict[str, Any]:
    """Everything that the card says, with nothing made up: what is undefined is None."""
    evidence = material.evidence
    no_label = evidence.ai_label == NONE
    why = np.bincount(evidence.ai_absence[no_label], minlength=len(FATES))
    annotations, labels = material.annotations, material.labels
    columns = columns_of(options.fmt, options.margin)
    return {
        "project": project.name,
        "program": {"version": program_version(), "git_revision": git_revision()},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "options": {
            "about": options.fmt.about,
            "shape": options.fmt.shape,
            "folder": options.fmt.folder,
            "policy": None if options.fmt.shape == "pairs" else asdict(options.policy),
            "round": options.round,
            "test_share": options.test_share,
            "split_seed": options.seed,
            "margin": options.margin,
            "pseudonyms": options.pseudonyms,
        },
        **export.as_dict(),
        "columns": [
            {"name": column.name, "about": column.about, "stand_in": column.stand_in}
            for column in columns
        ],
        "annotators_named": _annotators_named(options, export),
        "data_files": {split: path.name for split, path in target.data.items()},
        "pairs": {
            "n": annotations.n_pairs,
            "n_identical": annotations.n_identical,
            "n_duplicate": annotations.n_duplicate,
            "n_empty": annotations.n_empty,
            "hash": project.store.content_hash(),
        },
        "ai": {
            "judges": list(annotations.judges),
            "n_labelled": int((~no_label).sum()),
            "n_missing": {FATES[code]: int(why[code]) for code in _ABSENT if why[code]},
        },
        "imported_labels": _imported(material),
        "certificates": _certificates(project, options, material),
        "other_rounds": {
            name: audited
            for name, audited in zip(labels.rounds, labels.audited, strict=True)
            if audited != material.label
        },
    }


def _certificates(
    project: Project, options: ExportOptions, material: Material
) -> list[dict[str, Any]]:
    """The certificates of the rounds that audit the exported label, oldest first.

    Without the list of single labels (`workbench audit certify` writes them; the hash is here).
    """
    from workbench.audit.certificate import make_certificate

    aliases = material.aliases() if options.pseudonyms else {}
    found = []
    for name, audited in zip(material.labels.rounds, material.labels.audited, strict=True):
        if audited != material.label:
            continue
        whole = make_certificate(project, name).model_dump(mode="json")
        for part in whole["strata"]:
            del part["labels"]
            for person in part["by_annotator"]:
                person["annotator"] = aliases.get(person["annotator"], person["annotator"])
        found.append(whole)
    return found


def _annotators_named(options: ExportOptions, export: "Export") -> bool:
    """Whether people's names stand in the rows."""
    if options.pseudonyms:
        return False
    by_people = {"human", "adjudicated"} & export.counts.kept_by_source.keys()
    return bool(by_people)


def _imported(material: Material) -> dict[str, Any] | None:
    """Agreement with the human labels that came with the pairs; None without any.

    Nobody knows how these pairs were chosen, so it is a description and certifies nothing.
    """
    annotations = material.annotations
    if not len(annotations.label_pair):
        return None
    reference = human_reference(annotations)
    result = compare(reference, material.evidence.ai_label, annotations.prompt)
    ceiling = human_agreement(annotations, ReportOptions())
    return {
        "n_labels": len(annotations.label_pair),
        "n_annotators": len(annotations.annotators),
        "n_pairs": int((reference != NONE).sum()),
        "agreement": result.agreement.as_dict() if result.agreement else None,
        "human_human": ceiling.as_dict() if ceiling else None,
    }

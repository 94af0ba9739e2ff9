"""The whole way on real preference data: import, draw, labels, certificate, verification."""

import csv
import json
from pathlib import Path

import pytest
from round_world import make_project

from pipelines.agreement.gate import Gate, read_gate
from pipelines.errors import BadInput
from pipelines.importing import import_file
from workbench.audit.certificate import make_certificate
from workbench.audit.draw import draw_round
from workbench.audit.label_import import import_labels
from workbench.audit.options import Overrides, draw_options
from workbench.audit.verify import verify


def test_pandalm_is_audited_by_its_first_annotator(
    shared_data: Path, tmp_path: Path, database_url: str
) -> None:
    source = shared_data / "pandalm.jsonl"
    project = make_project(tmp_path / "p", database_url, [])
    import_file(project.store, source, project.config)
    with pytest.raises(BadInput, match=r"gpt-3\.5-turbo, pandalm-7b"):
        draw_round(project, draw_options(project))
    said = Overrides(label="gpt-3.5-turbo", n_pairs=500, ties="strict", seed=1)
    drawn = draw_round(project, draw_options(project, said))
    part = drawn.design.strata[0]
    assert (part.n_population, part.excluded) == (974, {"failed": 25})

    rows = [json.loads(line) for line in source.read_text().splitlines()]
    human = {row["id"]: row["human"][0]["label"] for row in rows}
    judge = {row["id"]: row["ai"][0].get("label") for row in rows}
    file = tmp_path / "annotator1.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["pair_id", "annotator", "label"])
        writer.writerows([pair_id, "annotator1", label] for pair_id, label in human.items())
    imported = import_labels(project, file)
    assert (imported.n_counted, imported.n_not_drawn) == (500, 499)

    found = make_certificate(project)
    stratum = found.strata[0]
    codes = [int(judge[entry.pair_id] == human[entry.pair_id]) for entry in stratum.labels]
    reading = read_gate(Gate(ties="strict"), codes, 974)
    assert stratum.n_read == 500
    assert (stratum.n_agree, stratum.n_disagree) == (sum(codes), 500 - sum(codes))
    assert found.decision == reading.decision == "WARN"
    assert stratum.n_labels_to_decision == reading.n_labels
    checked = verify(project, found)
    assert [check for check in checked.checks if not check.ok] == []

    first = stratum.labels[0]
    other = "B" if first.human == "A" else "A"
    forged = stratum.model_copy(
        update={"labels": (first.model_copy(update={"human": other}), *stratum.labels[1:])}
    )
    told = verify(project, found.model_copy(update={"strata": (forged,)})).checks
    assert any(first.pair_id in check.detail for check in told if not check.ok)

"""The data card: only measured numbers, and what they speak of."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import CurateSection
from workbench.export.card import data_card
from workbench.export.markdown import estimate, share, table
from workbench.export.options import ExportOptions, policy_of
from workbench.export.run import run_export
from workbench.project import Project


def cards(project: Project, name: str = "trl", **given: Any) -> tuple[str, dict[str, Any]]:
    asked = {key: given.pop(key) for key in ("disagreement", "ties") if key in given}
    fmt, policy = policy_of(name, CurateSection(), **asked)
    done = run_export(project, ExportOptions(fmt=fmt, policy=policy, force=True, **given))
    audit, card = Path(done.files[-2]), Path(done.files[-1])
    return card.read_text(encoding="utf-8"), json.loads(audit.read_text(encoding="utf-8"))


def test_without_a_round_the_card_says_that_trust_was_not_measured(project: Project) -> None:
    card, facts = cards(project)
    assert facts["certificates"] == []
    assert "No vote was given in an audit round." in card
    assert "how far to trust them was not measured" in card
    assert "3 labels by 3 people on 1 pairs" in card


def test_the_card_holds_the_certificate_with_intervals_gate_seed_and_hashes(audited: Any) -> None:
    project, audit = audited
    audit.vote(audit.pair_ids()[0], "ben", "A", slot=1)
    card, facts = cards(project)
    (certificate,) = facts["certificates"]
    assert "labels" not in certificate["strata"][0]
    (main,) = certificate["strata"]
    assert f"### Round first: {certificate['decision']}" in card
    assert "It speaks of the judge's own labels: those of sol." in card
    assert "Drawn uniform with seed 0." in card
    assert estimate(main["agreement"]) in card
    assert "TRUST above 0.8, WARN below 0.75, alpha 0.05, ties decisive" in card
    for value in (certificate["design_hash"], main["pairs_hash"], main["labels_hash"]):
        assert f"`{value}`" in card
    assert estimate(certificate["human_ceiling"]["agreement"]) in card
    assert "Labels corrected with people's answers are new labels" in card
    assert "60 imported pairs" in card


def test_a_number_that_nobody_measured_is_called_so(project: Project, draw: Any) -> None:
    draw(project)  # drawn, and nobody has voted
    card, facts = cards(project)
    assert facts["certificates"][0]["decision"] == "UNDECIDED"
    assert "| two people, A, B and tie alike | not measured |" in card
    assert "0 read of 20 drawn" in card
    assert "nan" not in card.lower().replace("annan", "")


def test_simulated_votes_are_called_simulated(project: Project, draw: Any) -> None:
    audit = draw(project)
    audit.vote(audit.pair_ids()[0], "robot", "A", origin="simulated")
    card, _ = cards(project)
    assert "1 of the 1 votes are simulated" in card
    assert "a label by people (the majority of their votes; 1 of 1 votes are simulated)" in card


def test_a_round_that_audits_another_label_certifies_nothing_here(
    tmp_path: Path, new_project: Any, pair_rows: Any, draw: Any
) -> None:
    rows = pair_rows()
    for row in rows:
        row["ai"].append({"judge": "luna", "label": "A"})
    project = new_project(tmp_path / "two", rows)
    draw(project)
    card, facts = cards(project, label="luna")
    assert facts["certificates"] == []
    assert facts["other_rounds"] == {"first": "sol"}
    assert (
        "Rounds that audited another label, so that nothing follows for these: first (sol)" in card
    )


def test_every_dropped_pair_is_in_the_card_with_its_reason(audited: Any) -> None:
    project, _ = audited
    card, facts = cards(project, disagreement="drop")
    counts = facts["counts"]
    dropped = sum(n for step in counts["steps"] for n in step["dropped"].values())
    assert counts["n_kept"] + dropped == counts["n_pairs"] == 60
    for step in counts["steps"]:
        for reason, n in step["dropped"].items():
            assert f"{n} {reason}" in card
    assert "agreement computed from this file overstates the judge" in card
    # ana's two votes against the AI, and the imported majority on p-55
    assert "3 human and AI disagree" in card


def test_names_are_announced_and_pseudonyms_leave_none(audited: Any) -> None:
    project, _ = audited
    card, facts = cards(project)
    assert "holds people's names" in card
    card, facts = cards(project, pseudonyms=True)
    assert "holds people's names" not in card
    for name in ("ana", "ben", "kim", "zoe"):
        assert f'"{name}"' not in json.dumps(facts)


def test_the_card_of_a_folder_names_its_splits_in_the_header(audited: Any) -> None:
    project, _ = audited
    card, _ = cards(project, "hf-folder", test_share=0.3)
    header = card.split("---\n")[1]
    assert "  - split: test\n    path: data/test-*.parquet\n" in header
    assert "# license: the owner of these data fills this in" in header
    assert "No prompt stands in two splits." in card


@pytest.mark.parametrize("name", ["trl", "kto", "jsonl", "parquet", "hf-folder", "pairs"])
def test_how_to_load_is_true(audited: Any, name: str, tmp_path: Path) -> None:
    project, _ = audited
    card, facts = cards(project, name)
    code = card.split("```python\n")[1].split("```")[0]
    folder = project.dir / "exports"
    assert data_card(facts) == card
    import datasets

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.chdir(folder)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        scope: dict[str, Any] = {}
        exec(code.replace("PATH_OF_THIS_FOLDER", str(project.dir / "exports/hf-folder")), scope)
    assert scope["data"]["train"].num_rows == facts["rows"]["train"]


def test_tables_survive_pipes_and_line_breaks() -> None:
    assert table(["a"], [["x|y\nz"]]).splitlines() == ["| a |", "| --- |", "| x\\|y z |"]
    assert share(0, 0) == "not defined"
    assert estimate(None) == "not measured"

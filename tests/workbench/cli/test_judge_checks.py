"""The checks and panels of `workbench judge`, as a person and a program meet them."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from protocol_server import ServerHandle
from sqlalchemy import select, update
from typer.testing import CliRunner

from pipelines.errors import BadInput
from pipelines.importing import import_file
from workbench.audit.argilla_votes import ASSISTED
from workbench.audit.draw import draw_round
from workbench.audit.options import DrawOptions, StratumOptions
from workbench.cli.main import app, main
from workbench.db.models import Annotator, Item, Slot, Vote
from workbench.db.session import writing
from workbench.project import Project

N = 300


def verdicts(judge: str, truth: str, right: bool, sure: float) -> list[dict[str, Any]]:
    label = truth if right else {"A": "B", "B": "A"}[truth]
    p_a = sure if label == "A" else 1.0 - sure
    return [{"judge": judge, "order": order, "p_a": p_a} for order in ("ab", "ba")]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """300 pairs, people on all; "cheap" right 4 in 5 and calibrated, "dear" 19 in 20."""
    rng = random.Random(11)
    rows = []
    for number in range(N):
        truth = rng.choice("AB")
        sure = rng.choice([0.55, 0.7, 0.97, 0.99])
        ai = verdicts("cheap", truth, rng.random() < sure, sure)
        ai += verdicts("dear", truth, rng.random() < 0.95, 0.9)
        ai += verdicts("weak", truth, rng.random() < 0.6, 0.8)
        rows.append(
            {
                "id": f"p-{number}",
                "prompt": f"question {number}",
                "response_a": "one answer",
                "response_b": "another answer",
                "subset": "even" if number % 2 == 0 else "odd",
                "ai": ai,
                "human": [{"annotator": "ana", "label": truth}],
            }
        )
    folder = Project.create(tmp_path / "p").dir
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    opened = Project.open(folder)
    import_file(opened.store, file, opened.config)
    return opened


def call(project: Project, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["judge", *words, "--project", str(project.dir)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


def as_json(project: Project, *words: str) -> tuple[int, Any]:
    code, text = call(project, *words, "--json")
    return code, json.loads(text)


def test_validate_exits_with_1_unless_every_judge_is_trusted(project: Project) -> None:
    code, found = as_json(project, "validate", "dear")
    assert (code, found["decision"]) == (0, "TRUST")
    assert found["human"]["n_imported"] == N
    slices = {(one["slice"], one["value"]) for one in found["judges"][0]["slices"]}
    assert {("subset", "even"), ("subset", "odd"), ("complexity", "simple")} <= slices
    code, found = as_json(project, "validate")
    assert (code, found["decision"]) == (1, "WARN")
    assert [one["decision"] for one in found["judges"]][2] == "WARN"
    code, found = as_json(
        project, "validate", "weak", "--trust-above", "0.5", "--warn-below", "0.4"
    )
    assert (code, found["decision"]) == (0, "TRUST")
    code, text = call(project, "validate", "weak", "majority", "--n", "100")
    assert code == 1
    assert "chosen at random from 300" in text
    assert "WARNING, measured under 75.0%" in text


def test_an_audit_rounds_votes_come_first(project: Project) -> None:
    drawn = draw_round(
        project, DrawOptions(label="dear", name="r", main=StratumOptions(n_pairs=40), overlap=0.0)
    )
    with writing(project.engine) as session:
        person = Annotator(name="ben", created_at=0.0, link_hash=None, revoked_at=None)
        session.add(person)
        session.flush()
        for number, item in enumerate(
            session.scalars(select(Item).where(Item.round_id == drawn.round_id))
        ):
            slot = session.scalars(select(Slot.id).where(Slot.item_id == item.id)).first()
            session.add(
                Vote(
                    id=f"v-{number}",
                    round_id=drawn.round_id,
                    item_id=item.id,
                    slot_id=slot,
                    annotator_id=person.id,
                    label="tie",  # unlike the import, so that we see whose label counts
                    left="A",
                    details={},
                    origin="simulated",
                    created_at=1.0,
                )
            )
    _, found = as_json(project, "validate", "dear", "--n", "50")
    assert found["human"] == {
        "n": 50,
        "n_audited": 40,
        "n_imported": 10,
        "n_simulated": 40,
        "n_available": N,
    }
    assert found["judges"][0]["n_human_tie"] == 40
    _, found = as_json(project, "validate", "dear", "--round", "r")
    assert (found["human"]["n"], found["human"]["n_imported"]) == (40, 0)
    with writing(project.engine) as session:  # ten of them saw the judge's label first
        seen = Vote.id.in_([f"v-{number}" for number in range(10)])
        session.execute(update(Vote).where(seen).values(origin=ASSISTED, counts=False))
    _, found = as_json(project, "validate", "dear", "--round", "r")
    assert found["human"]["n"] == 30


def test_compare_shows_the_difference_the_test_and_the_note(project: Project) -> None:
    code, text = call(project, "compare", "cheap", "dear", "weak")
    assert code == 0
    assert "Against cheap" in text
    assert "points" in text
    assert "your own labels" in " ".join(text.split())
    _, found = as_json(project, "compare", "cheap", "dear", "--baseline", "dear")
    (contrast,) = found["contrasts"]
    assert contrast["judge"] == "cheap"
    assert contrast["paired"]["difference"]["high"] < 0.0
    assert contrast["paired"]["p_value"] < 0.001


def test_matrix_says_what_the_panel_is_worth(project: Project) -> None:
    _, found = as_json(project, "matrix")
    assert found["judges"] == ["cheap", "dear", "weak"]
    worth = found["effective"]["n_effective"]
    assert worth["low"] < 3.0
    assert worth["estimate"] > 2.0
    assert not found["effective"]["collapsed"]
    code, text = call(project, "matrix", "--collapse-below", "1.0")
    assert code == 0
    assert "3 judges are worth" in text


def test_an_ensemble_is_a_judge_like_any_other(project: Project) -> None:
    _, found = as_json(project, "ensemble", "weighted", "--threshold", "0.6")
    assert found["stored_as"] == "ensemble:weighted"
    assert found["n_labels"] + found["n_undecided"] + found["n_unsure"] + found["n_silent"] == N
    assert found["check"]["cross_fitted"]
    assert "ensemble:weighted" in Project.open(project.dir).store.annotations().judges
    # its weights come from these very labels, which therefore say nothing of it
    code, said = as_json(project, "validate", "ensemble:weighted")
    assert (code, said["decision"]) == (1, "UNDECIDED")
    assert said["judges"][0]["n_learned"] > 250
    # a majority has learned nothing
    as_json(project, "ensemble", "majority", "--name", "all")
    code, said = as_json(project, "validate", "ensemble:all")
    assert said["judges"][0]["n_learned"] == 0
    assert said["judges"][0]["accuracy"]["n"] == N
    # and is no member of the next one
    _, again = as_json(project, "ensemble", "mean", "--dry-run")
    assert again["judges"] == ["cheap", "dear", "weak"]
    assert again["stored_as"] is None


def test_an_ensemble_whose_pairs_have_grown_is_out_of_date(
    project: Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    call(project, "ensemble", "majority")
    more = tmp_path / "more.jsonl"
    row = {"id": "new", "prompt": "q", "response_a": "x", "response_b": "y"}
    more.write_text(json.dumps(row) + "\n")
    import_file(project.store, more, project.config)
    done = CliRunner().invoke(
        app, ["judge", "validate", "ensemble:majority", "--project", str(project.dir)]
    )
    assert "out of date" in done.stderr


def test_a_cascade_says_its_line_and_what_it_saves(project: Project, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    _, found = as_json(
        project, "cascade", "cheap", "dear", "--max-loss", "0.05", "--store", "--only", str(ids)
    )
    assert 0.7 < found["threshold"] <= 0.99
    saved = found["savings"]
    assert saved["n_kept"] + saved["n_sent"] == N
    assert saved["dear_requests_saved"] == 2 * saved["n_kept"]
    assert found["line"]["difference"]["low"] > -0.05
    assert len(ids.read_text().split()) == saved["n_sent"]
    assert found["n_cheap"] == saved["n_kept"]
    assert found["stored_as"] in Project.open(project.dir).store.annotations().judges
    code, text = call(project, "cascade", "cheap", "dear", "--threshold", "0.9")
    assert code == 0
    assert "is taken at its word from a confidence of 0.900" in text


def test_what_cannot_be_done_is_one_sentence(project: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no line keeps"):
        call(project, "cascade", "weak", "dear", "--store")
    with pytest.raises(BadInput, match='"nobody"'):
        call(project, "cascade", "cheap", "nobody")
    with pytest.raises(BadInput, match='"nobody"'):
        call(project, "validate", "nobody")
    with pytest.raises(BadInput, match='round "none"'):
        call(project, "compare", "--round", "none")
    empty = Project.create(tmp_path / "empty")
    with pytest.raises(BadInput, match="no judge has said anything"):
        call(empty, "matrix")


def test_what_the_disk_refuses_is_one_line_and_exit_code_two(
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nowhere = tmp_path / "missing" / "ids.txt"
    asked = ["judge", "cascade", "cheap", "dear", "--threshold", "0.9", "--only", str(nowhere)]
    monkeypatch.setattr("sys.argv", ["workbench", *asked, "--project", str(project.dir)])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.startswith(f"workbench: {nowhere}: No such file or directory; ")
    assert said.count("\n") == 1


def test_a_cascade_from_end_to_end_asks_the_dear_judge_only_where_it_must(
    project: Project, tmp_path: Path, protocol_server: ServerHandle
) -> None:
    section = {
        "name": "dearest",
        "model": "m",
        "base_url": protocol_server.url,
        "usd_per_1m_input": 1.0,
        "usd_per_1m_output": 1.0,
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in section.items()]
    with (project.dir / "project.toml").open("a") as config:
        config.write("\n".join(["[[judges]]", *lines, ""]))
    ids = tmp_path / "ids.txt"
    # The dear judge is unknown yet: the line keeps the cheap judge's own accuracy.
    _, plan = as_json(
        project, "cascade", "cheap", "dearest", "--min-accuracy", "0.85", "--only", str(ids)
    )
    assert plan["savings"]["usd_dear_alone"] > 0.0
    n_sent = plan["savings"]["n_sent"]
    assert 0 < n_sent < N
    code, _ = call(project, "dearest", "--only", str(ids))
    assert code == 0
    assert protocol_server.stats()["requests"] == 2 * n_sent
    threshold = str(plan["threshold"])
    _, done = as_json(project, "cascade", "cheap", "dearest", "--threshold", threshold, "--store")
    assert done["n_cheap"] == N - n_sent
    assert done["n_dear"] + done["n_waiting"] == n_sent
    labels = Project.open(project.dir).store.annotations()
    mine = labels.verdict_judge == labels.judges.index("cascade:cheap>dearest")
    assert mine.sum() == done["n_cheap"] + done["n_dear"]
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("nobody\n")
    with pytest.raises(BadInput, match='the id "nobody"'):
        call(project, "dearest", "--only", str(wrong))

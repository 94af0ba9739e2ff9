"""`workbench labeler`: fit on a project's labels, label all its pairs."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.importing import import_file
from pipelines.preferences.combine import combine_judge
from workbench.cli import main
from workbench.project import Project

WORDS = ("plan", "works", "step", "then", "clear", "ask", "help", "note", "list", "why")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    rng = np.random.default_rng(0)
    rows = []
    for k in range(150):
        thanks = int(rng.integers(2))
        texts = [
            " ".join(rng.choice(WORDS, size=8)) + (" thank you" if j == thanks else "")
            for j in (0, 1)
        ]
        human = [{"annotator": "ana", "label": "AB"[thanks]}] if k < 90 else []
        rows.append(
            {
                "id": f"p{k}",
                "prompt": f"ask {k}",
                "response_a": texts[0],
                "response_b": texts[1],
                "human": human,
                "meta": {"truth": thanks},
            }
        )
    project = Project.create(tmp_path / "p")
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_file(project.store, path, project.config)
    return project


def run(*arguments: str):
    return CliRunner().invoke(main.app, list(arguments))


def test_a_labeler_is_fitted_and_becomes_a_judge(project):
    folder = str(project.dir)
    said = run("labeler", "fit", "polite", "--project", folder, "--json")
    assert said.exit_code == 0, said.output
    card = json.loads(said.stdout)
    assert card["accuracy"]["low"] > 0.8
    said = run("labeler", "apply", "polite", "--project", folder)
    assert "150 pairs labelled" in said.output
    assert "90 pairs" in said.output
    label = combine_judge(project.store.annotations(), "polite").label
    truth = project.store.meta_values("truth").astype(int)
    assert (label[90:] == truth[90:]).mean() > 0.9


def test_on_its_own_pairs_it_stays_out_of_fold(project):
    folder = str(project.dir)
    run("labeler", "fit", "polite", "--project", folder)
    run("labeler", "apply", "polite", "--project", folder)
    card = json.loads((project.dir / "runs/labelers/polite/labeler.json").read_text())
    p_a = combine_judge(project.store.annotations(), "polite").p_a
    assert p_a[:90] == pytest.approx(card["out_of_fold"])


def test_a_labeler_in_the_run_file_is_run_like_any_judge_and_only_when_it_must(project):
    folder = str(project.dir)
    run("labeler", "fit", "polite", "--project", folder)
    with (project.dir / "project.toml").open("a") as config:
        config.write('[[judges]]\nname = "mine"\nengine = "labeler"\nmodel = "polite"\n')
    said = run("judge", "--project", folder, "--json")
    assert said.exit_code == 0, said.output
    (done,) = json.loads(said.stdout)["judges"]
    assert (done["judge"], done["n_new"], done["n_judged"]) == ("mine", 150, 150)
    label = combine_judge(Project.open(project.dir).store.annotations(), "mine").label
    truth = project.store.meta_values("truth").astype(int)
    assert (label[90:] == truth[90:]).mean() > 0.9
    again = run("judge", "mine", "--project", folder, "--json")
    assert json.loads(again.stdout)["judges"][0]["n_new"] == 0
    run("labeler", "fit", "polite", "--project", folder, "--seed", "1")
    anew = run("judge", "--project", folder, "--json")
    assert json.loads(anew.stdout)["judges"][0]["n_new"] == 150
    assert run("judge", "--dry-run", "--project", folder).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["apply", "nobody"], "no labeler here"),
        (["fit", "a/b"], "cannot be a labeler's name"),
        (["fit", "majority"], "cannot be a labeler's name"),
        (["fit", "x+corrected"], "cannot be a labeler's name"),
        (["fit", "x", "--kind", "classifier"], "needs --base FOLDER"),
    ],
)
def test_mistakes_are_one_sentence(project, arguments, words, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["workbench", "labeler", *arguments, "--project", str(project.dir)]
    )
    with pytest.raises(SystemExit) as stop:
        main.main()
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1

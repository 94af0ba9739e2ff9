"""Simulated people label a round of the sandbox's pairs, at the queue that people use."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from pipelines.errors import BadInput
from pipelines.importing import import_file
from pipelines.sandbox.annotators import Annotator, Traits, parse_annotators
from pipelines.sandbox.world import draw_reply, draw_situation, read_situation, true_preference
from workbench.audit.draw import draw_round
from workbench.audit.options import draw_options
from workbench.cli.main import app
from workbench.db.models import Annotator as Person
from workbench.db.models import Item, Vote
from workbench.db.session import reading
from workbench.project import Project
from workbench.sandbox_round import label_sandbox_round

NOW = 1_790_000_000.0


def make_project(folder: Path, n: int, prompt: str = "") -> Project:
    """A project with a round of n pairs whose judge always says A."""
    rng = random.Random(0)
    rows: list[dict[str, Any]] = []
    for number in range(n):
        situation = draw_situation(rng)
        a, b = (draw_reply(situation, rng, 0.65) for _ in range(2))
        rows.append(
            {
                "id": f"p-{number:03}",
                "prompt": prompt or situation.text,
                "response_a": a,
                "response_b": b + (" Again." if a == b else ""),
                "ai": [{"judge": "j", "order": "ab", "label": "A"}],
            }
        )
    folder.mkdir()
    (folder / "project.toml").write_text(f"[audit]\nn_pairs = {n}\n", encoding="utf-8")
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    project = Project.open(folder)
    import_file(project.store, file, project.config)
    draw_round(project, draw_options(project), now=NOW)
    return project


def votes(project: Project) -> list[tuple[Any, ...]]:
    """Name, side, label, origin, when, and the item of every vote."""
    columns = (Person.name, Vote.left, Vote.label, Vote.origin, Vote.created_at)
    texts = (Item.prompt_json, Item.response_a, Item.response_b)
    chosen = (
        select(*columns, *texts)
        .join(Person, Person.id == Vote.annotator_id)
        .join(Item, Item.id == Vote.item_id)
        .order_by(Vote.created_at)
    )
    with reading(project.engine) as session:
        return [tuple(row) for row in session.execute(chosen)]


def truth_of(row: tuple[Any, ...]) -> str:
    situation = read_situation(json.loads(row[5]))
    assert situation is not None
    return true_preference(situation, row[6], row[7])


def test_people_without_a_fault_say_the_truth_and_all_of_it_is_called_simulated(
    tmp_path: Path,
) -> None:
    project = make_project(tmp_path / "p", 40)
    perfect = Traits(accuracy=1.0, seconds=5.0)
    people = [Annotator(name, perfect) for name in ("simulated-1", "simulated-2")]
    done = label_sandbox_round(project, people, now=NOW)
    assert done.answered == done.asked >= 40
    found = votes(project)
    assert len(found) == done.n_votes == done.asked
    assert {row[0] for row in found} == {"simulated-1", "simulated-2"}
    assert {row[3] for row in found} == {"simulated"}
    assert max(row[4] for row in found) < NOW
    assert [row[2] for row in found] == [truth_of(row) for row in found]
    assert {row[1] for row in found} == {"A", "B"}
    project.engine.dispose()


def test_who_only_looks_at_the_left_votes_left_on_whichever_side_it_is(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", 20)
    people = [Annotator(name, Traits(position_bias=1.0)) for name in ("a", "b")]
    label_sandbox_round(project, people, now=NOW)
    found = votes(project)
    assert [row[2] for row in found] == [row[1] for row in found]
    project.engine.dispose()


def test_a_tired_person_is_right_less_often(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", 60)
    # after 40 pairs their accuracy is that of a coin between A and B, and never "tie"
    tired = Traits(accuracy=1.0, fatigue=1.0, tie_share=0.0)
    people = [Annotator(name, tired) for name in ("a", "b")]
    label_sandbox_round(project, people, now=NOW)
    mine = [row[2] == truth_of(row) for row in votes(project) if row[0] == "a"]
    third = len(mine) // 3
    assert sum(mine[:third]) > sum(mine[-third:])
    project.engine.dispose()


def test_the_same_seed_gives_the_same_votes_and_a_share_is_a_share(tmp_path: Path) -> None:
    found = []
    for name in ("p", "q"):
        project = make_project(tmp_path / name, 20)
        people = parse_annotators(["careful", "hasty"], seed=2)
        done = label_sandbox_round(project, people, share=0.5, now=NOW)
        assert done.answered < done.asked
        found.append(votes(project))
        project.engine.dispose()
    assert found[0] == found[1]
    assert 10 <= len(found[0]) < 20


def test_a_round_of_other_pairs_is_refused(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", 5, prompt="What is the capital of France?")
    with pytest.raises(BadInput, match="5 of its 5 pairs are none of the sandbox's"):
        label_sandbox_round(project, parse_annotators(["careful"]), now=NOW)
    with pytest.raises(BadInput, match="nobody labels"):
        label_sandbox_round(project, [], now=NOW)
    assert votes(project) == []
    project.engine.dispose()


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["sandbox", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_command_labels_a_round(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", 12)
    project.engine.dispose()
    said = json.loads(run("annotate", "--project", tmp_path / "p", "--json").stdout)
    assert said["origin"] == "simulated"
    assert said["annotators"] == ["simulated-1-careful", "simulated-2-average", "simulated-3-hasty"]
    assert said["answered"] == said["asked"] == said["n_votes"]
    text = run("annotate", "--project", tmp_path / "p", "--person", "accuracy=1").stdout
    assert "none of them is real" in text


def test_the_commands_write_prompts_and_demonstrations(tmp_path: Path) -> None:
    shown = run("prompts", 5, "--kind", "harm").stdout.splitlines()
    assert [json.loads(line)["subset"] for line in shown] == ["harm"] * 5
    out = tmp_path / "prompts.jsonl"
    run("prompts", 5, "--kind", "harm", "--out", out)
    assert out.read_text("utf-8").splitlines() == shown
    with pytest.raises(BadInput, match=r"prompts\.jsonl: is there already and is never overwritt"):
        run("prompts", 5, "--out", out)
    row = json.loads(run("demonstrations", 1, "--skill", 1).stdout)
    assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").touch()
    with pytest.raises(BadInput, match="is there already and is left alone"):
        run("train-model", tmp_path / "model")

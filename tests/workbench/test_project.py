"""A project folder: made once, found from inside, its template true to the defaults."""

import re
import tomllib
from importlib import resources

import pytest
from pydantic import BaseModel

from pipelines.config import RunConfig, load_config
from pipelines.constitution.records import load_constitution
from pipelines.errors import BadInput
from pipelines.judge.spec import JudgeSpec
from pipelines.models.spec import ModelSpec
from workbench.project import Project


def test_a_new_project_has_the_default_configuration(tmp_path):
    project = Project.create(tmp_path / "a" / "b")
    assert project.config == RunConfig() == load_config(project.dir)
    assert "two responses" in (project.dir / "guidelines.md").read_text()
    assert project.name == "b"
    assert len(project.store) == 0


def test_nothing_is_ever_overwritten(tmp_path):
    (tmp_path / "guidelines.md").write_text("mine")
    with pytest.raises(BadInput, match=r"guidelines\.md is already there"):
        Project.create(tmp_path)
    assert (tmp_path / "guidelines.md").read_text() == "mine"
    assert not (tmp_path / "project.toml").exists()


def test_a_new_project_has_a_constitution_and_one_that_was_there_stays(tmp_path):
    project = Project.create(tmp_path / "new")
    assert len(load_constitution(project.dir / "constitution.toml").principles) >= 7
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "constitution.toml").write_text("mine")
    Project.create(tmp_path / "old")
    assert (tmp_path / "old" / "constitution.toml").read_text() == "mine"


def test_a_project_is_found_from_a_folder_inside_it(tmp_path):
    project = Project.create(tmp_path / "p")
    inside = project.dir / "runs" / "deep"
    inside.mkdir(parents=True)
    assert Project.open(inside).dir == project.dir


def test_no_project_anywhere_says_what_to_do(tmp_path):
    with pytest.raises(BadInput, match="workbench init DIR"):
        Project.open(tmp_path)


def _keys(model: type[BaseModel]) -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= _keys(inner)
        elif name == "judges" and model is RunConfig:
            found |= _keys(JudgeSpec)
        elif name == "models" and model is RunConfig:
            found |= _keys(ModelSpec)
        else:
            found.add(name)
    return found


def test_the_template_names_every_key_with_its_default_and_a_comment():
    text = (resources.files("workbench") / "templates" / "project.toml").read_text()
    assert RunConfig.model_validate(tomllib.loads(text)) == RunConfig()
    lines = [line for line in text.splitlines() if re.match(r"(# )?\w+ = ", line)]
    assert {line.removeprefix("# ").split(" ")[0] for line in lines} == _keys(RunConfig)
    # A key that stands commented out parses once the mark is taken away.
    uncommented = re.sub(r"(?m)^# (\w+ = |\[\[?[a-z.]+\])", r"\1", text)
    config = RunConfig.model_validate(tomllib.loads(uncommented))
    assert config.audit.n_pairs == 300
    (judge,) = config.judges
    (model,) = config.models
    for shown in (judge, model):
        bare = type(shown)(name=shown.name, model=shown.model)
        for key, value in shown:
            if value != getattr(bare, key):  # an example for what has no default, or an empty one
                assert getattr(bare, key) in (None, "", ()), key


def test_the_database_is_a_file_of_the_folder_or_a_url(tmp_path, monkeypatch):
    project = Project.create(tmp_path / "p")
    assert project.database_url() == project.dir / "workbench.db"
    path = project.dir / "project.toml"
    url = "postgresql+psycopg://me:${DB_PASSWORD}@host/db"
    path.write_text(path.read_text().replace("sqlite:///workbench.db", url))
    with pytest.raises(BadInput, match="environment variable DB_PASSWORD"):
        Project.open(project.dir).database_url()
    monkeypatch.setenv("DB_PASSWORD", "secret")
    assert Project.open(project.dir).database_url() == "postgresql+psycopg://me:secret@host/db"


def test_the_database_opens_with_its_tables(tmp_path):
    from sqlalchemy import inspect

    engine = Project.create(tmp_path / "p").engine
    try:
        assert {"annotator", "round", "vote"} <= set(inspect(engine).get_table_names())
    finally:
        engine.dispose()

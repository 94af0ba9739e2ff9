"""Recipes: every one that ships is whole, rounds come in order, and a bad one is told in a line."""

from pathlib import Path

import pytest

from pipelines.config import CONFIG_NAME, RunConfig, load_config
from pipelines.errors import BadInput
from pipelines.run import STAGES, Recipe, changed, load_recipe, planned
from workbench.data_files import data_dir
from workbench.running.stages import DO

RECIPES = sorted((data_dir() / "recipes").glob("*.toml"))
THE_ISSUES = {
    "rlaif-ppo", "rlaif-dpo", "constitutional-rlaif", "rlaif-refined", "alternating",
    "preference-filtering", "reward-shaping", "constrained-ppo", "ratings-dpo", "red-team",
    "self-rewarding",
}  # fmt: skip


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """The run file of the sandbox's project."""
    folder = tmp_path_factory.mktemp("sandbox")
    settings = data_dir() / "recipes" / "sandbox" / "project.toml"
    training = data_dir() / "helpdesk" / "training.toml"
    (folder / CONFIG_NAME).write_text(settings.read_text() + "\n" + training.read_text())
    return load_config(folder)


def recipe(text: str, folder: Path) -> Recipe:
    path = folder / "mine.toml"
    path.write_text('title = "Mine"\nwhat = "Nothing."\n' + text)
    return load_recipe(path)


def test_all_recipes_ship_and_every_stage_can_be_done() -> None:
    assert {path.stem for path in RECIPES} == THE_ISSUES
    assert set(DO) == set(STAGES)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_setting_of_a_recipe_fits_and_every_model_it_starts_from_is_made_before(
    path: Path, sandbox: RunConfig
) -> None:
    found = load_recipe(path)
    trained: set[str] = {"start"}
    judges = {one.name for one in sandbox.judges}
    exported: set[str] = set()
    for one in planned(found):
        config = changed(sandbox, found.set, {"pairs": one.pairs}, one.step.set)
        texts = one.step.model_dump_json()
        assert "{round}" not in texts
        assert "{before}" not in texts
        assert set(one.step.judges) <= judges
        if one.step.stage == "train":
            start = one.step.model or config.train.model
            assert start.removeprefix("runs/train/").removesuffix("/model") in trained | {""}
            trained.add(one.step.called)
            if one.step.data and one.step.data.startswith("exports/"):
                assert one.step.data in exported
        if one.step.stage == "export" and one.step.name:
            exported.add(f"exports/{one.step.name}.jsonl")
        if one.step.stage == "revise" and one.step.name:
            exported |= {f"exports/{one.step.name}-{kind}.jsonl" for kind in ("sft", "pairs")}
        if one.step.stage == "evaluate":
            known = trained | {model.name for model in config.models}
            assert set(one.step.policies) <= known
            assert len(one.step.policies) >= 2


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_commands_at_the_head_of_a_recipe_name_it(path: Path) -> None:
    assert path.read_text().count(f"workbench run --recipe {path.stem} ") == 2


def test_steps_of_a_round_come_again_together_with_their_numbers_filled_in(tmp_path: Path) -> None:
    found = recipe(
        """rounds = 3
        [[steps]]
        stage = "train"
        method = "sft"
        name = "p-0"
        [[steps]]
        stage = "judge"
        each_round = true
        [[steps]]
        stage = "train"
        method = "dpo"
        each_round = true
        name = "p-{round}"
        model = "runs/train/p-{before}/model"
        [steps.set.train]
        seed = 7
        [[steps]]
        stage = "export"
        """,
        tmp_path,
    )
    plan = list(planned(found, 2))
    assert [one.key for one in plan] == [
        "1-p-0", "2-judge-1", "3-p-1-1", "2-judge-2", "3-p-2-2", "4-export",
    ]  # fmt: skip
    assert plan[4].step.model == "runs/train/p-1/model"
    assert plan[4].step.set == {"train": {"seed": 7}}
    assert len(list(planned(found))) == 2 + 3 * 2


def test_what_pairs_were_made_by_holds_for_the_export_of_them(tmp_path: Path) -> None:
    found = recipe(
        """
        [[steps]]
        stage = "pairs"
        [steps.set.pairs]
        label = "one"
        [[steps]]
        stage = "export"
        name = "a"
        [[steps]]
        stage = "pairs"
        [[steps]]
        stage = "export"
        name = "b"
        """,
        tmp_path,
    )
    assert [one.pairs.get("label") for one in planned(found)] == ["one", "one", None, None]


BAD = {
    '[[steps]]\nstage = "bake"': "steps[1].stage",
    '[[steps]]\nstage = "train"': 'a step "train" needs a method',
    '[[steps]]\nstage = "judge"\nmethod = "dpo"': 'a step "judge" takes no method',
    '[[steps]]\nstage = "judge"\nwhom = "dpo"': 'unknown key "steps[1].whom"',
    'rounds = 2\n[[steps]]\nstage = "judge"': "no step has each_round",
    '[[steps]]\nstage = "evaluate"\nstop_below = 0.5': "add each_round",
    "steps = []": '"steps" is empty',
    '[[steps]]\nstage = "export"\nname = "../../elsewhere"': "steps[1].name",
    '[[steps]]\nstage = "train"\nmethod = "dpo"\n[[steps]]\nstage = "train"\nmethod = "dpo"': (
        'two steps "train" are called "dpo"; rename one'
    ),
    'rounds = 2\n[[steps]]\nstage = "train"\nmethod = "dpo"\neach_round = true': (
        "give it a name with {round}"
    ),
    '[[steps]]\nstage = "judge"\neach_round = true\n[[steps]]\nstage = "pairs"\n'
    '[[steps]]\nstage = "judge"\neach_round = true': "must follow one another",
}


@pytest.mark.parametrize(("text", "said"), BAD.items())
def test_a_bad_recipe_is_one_line_with_file_and_key(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as told:
        recipe(text, tmp_path)
    assert said in str(told.value)
    assert str(told.value).startswith(f"{tmp_path / 'mine.toml'}: ")
    assert "\n" not in str(told.value)


def test_models_are_met_by_name_and_new_ones_are_like_another(sandbox: RunConfig) -> None:
    told = changed(
        sandbox, {"models": [{"name": "new", "like": "policy", "model": "runs/train/x/model"}]}
    )
    by_name = {one.name: one for one in told.models}
    assert by_name["new"].max_tokens == by_name["policy"].max_tokens == 60
    assert by_name["new"].model == "runs/train/x/model"
    assert [one.name for one in sandbox.models] == ["policy", "critic", "reviser"]
    later = changed(sandbox, {"audit": {"n_pairs": 9}}, {"audit": {"n_pairs": 8}})
    assert (later.audit.n_pairs, later.audit.label) == (8, "judge")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"models": [{"name": "new", "like": "nobody"}]}, 'like "nobody"'),
        ({"models": [{"like": "policy"}]}, "has no name"),
        ({"audit": {"n_pears": 9}}, 'unknown key "audit.n_pears"; did you mean "audit.n_pairs"?'),
    ],
)
def test_settings_that_do_not_fit_are_one_line(
    sandbox: RunConfig, change: dict[str, object], said: str
) -> None:
    with pytest.raises(BadInput, match=r"^the recipe's settings: ") as told:
        changed(sandbox, change)
    assert said in str(told.value)

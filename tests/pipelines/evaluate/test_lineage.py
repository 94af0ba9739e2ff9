"""Who labelled what a policy was trained on, and which judges that makes suspect."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.evaluate.lineage import Lineage, families, leaks, lineage_of, suspects


def train(project: Path, name: str, method: str, **asked: Any) -> Path:
    """A training run's folder, as far as lineage reads it; `section` is the method's settings."""
    folder = project / "runs" / "train" / name
    folder.mkdir(parents=True)
    settings = {method: asked.pop("section", {})}
    told = {"method": method, "model": "start", "data": "", "settings": settings, **asked}
    (folder / "run.json").write_text(json.dumps(told))
    return folder


def export(project: Path, name: str, label: str, judges: list[str], beside: bool = True) -> str:
    """Curated data and the audit file that says whose labels they hold."""
    folder = project / "exports"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("{}\n")
    facts = {"label": label, "ai": {"judges": judges}, "data_files": {"train": name}}
    audit = f"{name}.audit.json" if beside else "all.audit.json"
    (folder / audit).write_text(json.dumps(facts))
    return f"exports/{name}"


def test_a_run_inherits_the_judges_of_its_data_its_start_and_its_reward_model(
    tmp_path: Path,
) -> None:
    train(tmp_path, "sft", "sft", data=export(tmp_path, "sft.jsonl", "first", ["first"]))
    train(tmp_path, "rm", "reward", data=export(tmp_path, "rm.jsonl", "second", ["second"]))
    section = {"reward_model": "runs/train/rm/model", "judge": "third"}
    model, settings = "runs/train/sft/model", {"ppo": section}
    ppo = train(tmp_path, "ppo", "ppo", model=model, section=section, settings=settings)
    found = lineage_of(ppo, tmp_path)
    assert found.judges == {"third": ("ppo",), "second": ("ppo", "rm"), "first": ("ppo", "sft")}
    assert found.unknown == ()
    assert found.base == "start"


def test_a_judge_that_rewards_as_the_constitution_has_a_hand_in_it_a_function_has_not(
    tmp_path: Path,
) -> None:
    runs = [
        train(tmp_path, said, "rloo", section={"reward_model": "rm", "constitution": said})
        for said in ("judge:rates", "rules.py:rules")
    ]
    found = [lineage_of(run, tmp_path).judges for run in runs]
    assert found == [{"rates": ("judge:rates",)}, {}]


@pytest.mark.parametrize("beside", [True, False], ids=["its own audit file", "that of its splits"])
def test_corrected_labels_are_still_the_judges(tmp_path: Path, beside: bool) -> None:
    data = export(tmp_path, "d.jsonl", "j+corrected", ["j", "k"], beside)
    assert lineage_of(train(tmp_path, "dpo", "dpo", data=data), tmp_path).judges == {"j": ("dpo",)}


def test_a_rule_over_judges_brings_in_all_of_them(tmp_path: Path) -> None:
    data = export(tmp_path, "d.jsonl", "majority", ["j", "k"])
    found = lineage_of(train(tmp_path, "dpo", "dpo", data=data), tmp_path)
    assert set(found.judges) == {"j", "k"}


def test_data_that_say_nothing_are_named_and_a_circle_ends(tmp_path: Path) -> None:
    one = train(tmp_path, "one", "dpo", data="x.jsonl", model="runs/train/two/model")
    train(tmp_path, "two", "dpo", data="x.jsonl", model="runs/train/one/model")
    found = lineage_of(one, tmp_path)
    assert found.judges == {}
    assert found.unknown == ("one", "two")
    assert found.base == ""


@pytest.mark.parametrize(
    ("one", "other", "kin"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "qwen3-1.7b", True),
        ("Qwen/QwQ-32B", "qwen2.5-0.5b", True),
        ("gpt-4o-mini", "o3-mini", True),
        ("chatgpt-4o-latest", "gpt-4.1", True),
        ("meta-llama/Meta-Llama-3-8B", "allenai/Llama-3.1-Tulu-3-8B", True),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "qwen2.5-72b", True),
        ("mistral-small", "mixtral-8x7b", True),
        ("falcon-7b", "falcon-40b", True),
        ("TheBloke/falcon-7b-GPTQ", "gpt-4o", False),
        ("claude-opus", "gpt-4o", False),
        ("policy-a", "policy-b", False),
        ("simulated-judge", "simulated-policy", False),
        ("graphite-7b", "phi-4", False),
    ],
)
def test_members_of_a_family_are_known_by_name(one: str, other: str, kin: bool) -> None:
    assert bool(families(one) & families(other)) is kin


def test_the_worst_kinship_is_told_once_for_each_judge_and_policy() -> None:
    found = leaks(
        {"before": "qwen2.5-0.5b", "after": "runs/train/after/model"},
        {"after": Lineage({"labels": ("after",), "old": ("after", "sft")}, (), "qwen2.5-0.5b")},
        {"labels": "gpt-4o", "twin": "openai/gpt-4o", "cousin": "gpt-4.1", "claude": "claude-opus"},
        {"labels": "gpt-4o", "old": "gpt-4o-mini"},
    )
    assert [(one.judge, one.policy, one.kind) for one in found] == [
        ("labels", "after", "same judge"),
        ("twin", "after", "same model"),
        ("cousin", "after", "same family"),
    ]
    assert suspects(found, "twin") == frozenset({"after"})
    assert suspects(found, "claude") == frozenset()


def test_a_judge_of_the_policys_own_family_is_told_trained_or_not() -> None:
    found = leaks(
        {"before": "qwen2.5-0.5b", "after": "runs/train/after/model"},
        {"after": Lineage({"gpt-4o": ("after",)}, (), "Qwen/Qwen2.5-0.5B")},
        {"big": "qwen2.5-72b"},
        {},
    )
    assert [(one.policy, one.kind) for one in found] == [
        ("before", "judges itself"),
        ("after", "judges itself"),
    ]

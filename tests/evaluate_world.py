"""An evaluation in the sandbox: simulated models at a real server, held-out prompts, people."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.constitution.records import load_constitution
from pipelines.sandbox.background import in_background
from pipelines.sandbox.traits import load_traits
from pipelines.sandbox.world_prompts import draw_prompts, prompt_row
from workbench.data_files import data_dir
from workbench.project import Project

N_PROMPTS, N_AUDIT = 40, 60
TRAITS = """
[models.simulated-before]
skill = 0.5
latency_ms = 5
[models.simulated-after]
skill = 0.9
latency_ms = 5
[models.simulated-wordy]
skill = 0.5
phrase = "Kind regards, the help desk."
[models.simulated-judge]
accuracy = 0.9
position_bias = 40
latency_ms = 5
[models.simulated-vain]
accuracy = 0.8
self_preference = 2.0
phrase = "Kind regards, the help desk."
[models.simulated-shy]
refusal_rate = 0.6
[models.simulated-mute]
refusal_rate = 1.0
"""
SUITES = (
    "sandbox-red-team",
    "sandbox-principles",
    "principles",
    "mine.toml",
)
POLICIES = ("before", "after", "wordy")
OWN_SUITE = """
title = "Declines"
about = "How often a reply declines, by its words."
share_of = "replies that decline"
prompts = "few.jsonl"
measure = "refuses"
"""


@contextmanager
def simulated_models(folder: Path) -> Iterator[str]:
    """Base URL of a server of them; their traits are written into the folder."""
    traits = folder / "models.toml"
    traits.write_text(TRAITS)
    rules = load_constitution(data_dir() / "helpdesk" / "constitution.toml")
    with in_background(load_traits(traits), seed=3, constitution=rules) as url:
        yield url


def make_project(folder: Path, url: str, n_prompts: int = N_PROMPTS) -> Path:
    """A project with three policies, judges and held-out prompts."""
    project = Project.create(folder)
    rows = [json.dumps(prompt_row(one)) for one in draw_prompts(n_prompts, 0, "held-out")]
    (folder / "held-out.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "few.jsonl").write_text("\n".join(rows[:10]) + "\n")
    (folder / "mine.toml").write_text(OWN_SUITE)
    shutil.copyfile(data_dir() / "helpdesk" / "constitution.toml", folder / "constitution.toml")
    lines = ["[evaluate]", "max_requests = 5000", f"audit_pairs = {N_AUDIT}"]
    lines += ['judges = ["judge", "vain"]', "[judging]", "max_requests = 5000"]
    sections = [("models", name, f"simulated-{name}", "") for name in POLICIES]
    sections += [("judges", "judge", "simulated-judge", 'mode = "verdict"')]
    sections += [("judges", "vain", "simulated-vain", ""), ("judges", "mute", "simulated-mute", "")]
    sections += [("judges", "shy", "simulated-shy", "")]
    sections += [("models", f"cold-{k}", "simulated-before", "temperature = 0.0") for k in "ab"]
    checks = 'mode = "check"\nconstitution = "constitution.toml"'
    sections += [("judges", "checker", "simulated-judge", checks)]
    for kind, name, model, more in sections:
        lines += [f"[[{kind}]]", f'name = "{name}"', f'model = "{model}"', f'base_url = "{url}"']
        lines += ["concurrency = 4", "retries = 0", more]
    (project.dir / "project.toml").write_text("\n".join(lines) + "\n")
    return folder

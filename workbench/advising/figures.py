"""What a project knows from its own logs: tokens and seconds of a request, hours of a training run.

Nothing is guessed: what nobody has measured here is None.
"""

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from pipelines.constitution.manifest import read_manifest as read_revise
from pipelines.generate.manifest import read_manifest as read_generate
from pipelines.generate.runner import GenerateFolder
from pipelines.judge.manifest import read_manifest as read_judge
from pipelines.judge.runner import JudgeFolder
from pipelines.models.opening import price_of
from pipelines.models.spec import EngineSpec
from pipelines.stages.manifest import Spent
from pipelines.train.curves import read_curves
from pipelines.train.run_folder import runs_of

ENOUGH = 20  # requests, or responses that were revised


@dataclass(frozen=True)
class Rate:
    """Of one request.

    Attributes:
        usd: At the prices of project.toml; None when tokens or price are not known.
        seconds: Of a local model; None when nobody ran it. 0 for one that is asked elsewhere.
        rests_on: Whose log it is.
    """

    usd: float | None
    seconds: float | None
    rests_on: str


def rate_of(spec: EngineSpec, spent: Spent, seconds: float | None, whose: str) -> Rate:
    """What a request to a model costs.

    Args:
        spec: The model.
        spent: What a log counted, of this model.
        seconds: What its runs lasted.
        whose: The log's name, for people.
    """
    price, measured = price_of(spec), spent.requests >= ENOUGH
    usd: float | None = None
    if price is not None and price.usd(1_000_000, 1_000_000) == 0.0:
        usd = 0.0
    elif price is not None and measured:
        usd = price.usd(spent.prompt_tokens, spent.completion_tokens) / spent.requests
    each = 0.0 if spec.engine == "endpoint" else None
    if each is None and measured and seconds:
        each = seconds / spent.requests
    about = f"nobody has asked {whose} here: tokens unknown"
    if measured:
        tokens = (spent.prompt_tokens + spent.completion_tokens) / spent.requests
        about = f"{tokens:,.0f} tokens a request, as in the log of {whose}"
    if price is None:
        about += f"; {spec.name} has no price in project.toml"
    return Rate(usd, each, about)


def writer_rate(project_dir: Path, spec: EngineSpec) -> Rate:
    """Of a model that responds; one without a log is taken to write as the project's others do."""
    known = sorted(one.parent.name for one in project_dir.glob("runs/generate/*/manifest.json"))
    for name in (spec.name, *known):
        manifest = read_generate(GenerateFolder(project_dir, name).manifest, name)
        if manifest.spent.requests >= ENOUGH:
            seconds = sum(run.seconds or 0.0 for run in manifest.runs)
            return rate_of(spec, manifest.spent, seconds, name)
    return rate_of(spec, Spent(), None, spec.name)


def judge_rate(project_dir: Path, spec: EngineSpec) -> Rate:
    """Of a judge, in this project or in its evaluations."""
    folders = [project_dir, *sorted((project_dir / "evaluations").glob("*"))]
    for folder in folders:
        manifest = read_judge(JudgeFolder(folder, spec.name).manifest, spec.name)
        if manifest.spent.requests >= ENOUGH:
            seconds = sum(run.seconds or 0.0 for run in manifest.runs)
            return rate_of(spec, manifest.spent, seconds, spec.name)
    return rate_of(spec, Spent(), None, spec.name)


def revise_rate(project_dir: Path, spec: EngineSpec) -> tuple[Rate, float | None]:
    """Of a request to critic or reviser, and requests for one response; None if not known."""
    manifest = read_revise(project_dir / "runs" / "revise" / "manifest.json")
    n_done = sum(run.n_done for run in manifest.runs)
    seconds = sum(run.seconds or 0.0 for run in manifest.runs)
    each = manifest.spent.requests / n_done if n_done >= ENOUGH else None
    return rate_of(spec, manifest.spent, seconds, "the critic and the reviser"), each


@dataclass(frozen=True)
class Trained:
    """The last finished run of a method: how long it trained."""

    run: str
    hours: float
    device: str


def last_run(project_dir: Path, method: str) -> Trained | None:
    """How long the last run of a method trained, pauses left out; None when there is none."""
    found: list[tuple[float, Trained]] = []
    for folder in runs_of(project_dir):
        asked, result = folder.asked(), _result(folder.path)
        if asked is None or result is None or asked.get("method") != method:
            continue
        points = read_curves(folder.path)
        times = [(point["step"], point["at"]) for point in points if "at" in point]
        gaps = [
            (late - early) / (after - before)
            for (before, early), (after, late) in pairwise(times)
            if after > before
        ]
        if gaps and isinstance(steps := result.get("steps"), int):
            device = str(asked.get("settings", {}).get("device", "auto"))
            one = Trained(folder.path.name, steps * median(gaps) / 3600.0, device)
            found.append((times[-1][1], one))
    return max(found, key=lambda one: one[0])[1] if found else None


def _result(path: Path) -> dict[str, object] | None:
    try:
        read: dict[str, object] = json.loads((path / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read

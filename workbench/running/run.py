"""`workbench run`: steps in order, each skipped when nothing that goes into it has changed.

What was done stands in `runs/recipes/NAME.json`: for each step what went into it, when, how long
it took and what it said. A step that was cut off is done again, and its stage goes on where it
stopped.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.config import RunConfig
from pipelines.errors import BadInput
from pipelines.run import STAGES, Planned, Recipe, StageName, Step, changed, load_recipe, planned
from pipelines.train.run_folder import write_json
from workbench.data_files import data_dir
from workbench.project import Project
from workbench.running.stages import DO, Bars, Did, Task, depends_on, is_fresh, made_by, set_aside

FOLDER = Path("runs") / "recipes"

# With --quick: whether everything fits together, in seconds; the figures mean nothing.
QUICK: Mapping[str, Any] = {
    "generate": {"n_candidates": 2, "resamples": 0},
    "revise": {"max_iterations": 1},
    "audit": {"n_pairs": 8, "overlap": 0.0},
    "evaluate": {"audit_pairs": 0},
    "train": {
        "max_steps": 2,
        "log_every": 1,
        "warmup_share": 0.0,
        "tensorboard": False,
        "ppo": {"steps": 2, "batch_size": 4, "minibatches": 1, "passes": 1, "watch_prompts": 4},
    },
}
QUICK_ROUNDS = 2

Ended = Literal["done", "waiting", "interrupted"]


@dataclass(frozen=True)
class Told:
    """One line about a step while it runs: what begins, or what it said.

    Attributes:
        place: Which of the steps, from 1, of how many.
        what: "begins", "skipped", "did", "rounds end".
    """

    place: int
    n_steps: int
    planned: Planned
    what: Literal["begins", "skipped", "did", "rounds end"]
    lines: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass
class Ran:
    """What a run of a recipe did."""

    ended: Ended = "done"
    n_done: int = 0
    n_skipped: int = 0
    waiting: str | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """What is to be run.

    Attributes:
        name: Of the recipe; names the file in which it is kept what was done.
        recipe: Its steps.
        stages: Only these; all where none is named.
        quick: Few prompts, few steps.
        rounds: Instead of the recipe's.
    """

    name: str
    recipe: Recipe
    stages: tuple[StageName, ...] = ()
    quick: bool = False
    rounds: int | None = None

    def plan(self) -> list[Planned]:
        """The steps in the order in which they are taken."""
        rounds = self.rounds or (min(self.recipe.rounds, QUICK_ROUNDS) if self.quick else None)
        steps = list(planned(self.recipe, rounds))
        return [one for one in steps if not self.stages or one.step.stage in self.stages]

    def config(self, project: Project, step: Step) -> RunConfig:
        """The project's settings as the recipe and this step have them."""
        quick = (QUICK,) if self.quick else ()
        return changed(project.config, self.recipe.set, step.set, *quick)


def recipes_dir() -> Path:
    """The recipes that ship."""
    return data_dir() / "recipes"


def find_recipe(name: str, project_dir: Path) -> tuple[str, Recipe]:
    """A recipe by its name or file; a file of the project goes before one that ships.

    Raises:
        BadInput: There is none.
    """
    for path in (Path(name), project_dir / name, recipes_dir() / f"{name}.toml"):
        if path.suffix == ".toml" and path.is_file():
            return path.stem, load_recipe(path)
    known = ", ".join(sorted(path.stem for path in recipes_dir().glob("*.toml")))
    raise BadInput(f'"{name}" is no recipe and no file; there are: {known}')


def of_project(project: Project, stages: Sequence[StageName] = ()) -> Recipe:
    """The stages of `[run]` in project.toml, or those named, as a recipe of their own."""
    steps: list[dict[str, Any]] = []
    wanted = set(stages or project.config.run.stages)
    for stage in (one for one in STAGES if one in wanted):
        if stage == "train":
            steps += [{"stage": stage, "method": one} for one in project.config.run.methods]
        elif stage == "export":
            formats = {"kto" if one == "kto" else "trl" for one in project.config.run.methods}
            steps += [{"stage": stage, "format": one} for one in sorted(formats or {"trl"})]
        else:
            steps.append({"stage": stage})
    return Recipe.model_validate(
        {"title": "The stages of project.toml", "what": "As [run] says.", "steps": steps}
    )


def run_recipe(
    project: Project,
    asked: Asked,
    bars: Bars,
    tell: Callable[[Told], None],
    people: Callable[[Project, str], None] | None = None,
) -> Ran:
    """Take the steps in order.

    Args:
        project: The project.
        asked: What is to be run.
        bars: Progress.
        tell: Is told of each step.
        people: Simulated people who label a round, in the sandbox; None where real ones do.

    Raises:
        BadInput: A step cannot be done as it is set; what was done before it is kept.
        ServiceFailed: A service failed after retries.
    """
    steps = asked.plan()
    for one in steps:
        asked.config(project, one.step)  # whatever is wrong with a later step is told now
    path = project.dir / FOLDER / f"{asked.name}.json"
    kept = _read(path)
    ran = Ran()
    over = False  # the rounds have ended before their number
    for place, one in enumerate(steps, start=1):
        if over and one.round:
            continue

        def say(
            what: Any, lines: Sequence[str] = (), seconds: float = 0.0, at: int = place,
            of: Planned = one,
        ) -> None:  # fmt: skip
            tell(Told(at, len(steps), of, what, tuple(lines), seconds))

        task = Task(
            Project(project.dir, asked.config(project, one.step)), one.step, asked.quick, bars
        )
        before = kept.get(one.key)
        if _skip(task, before):
            ran.n_skipped += 1
            say("skipped", before["lines"] if before else ())
            ran.steps.append({"step": one.key, "skipped": True, **(before or {})})
            over = over or _plateau(one.step, before and before.get("gain"))
            continue
        say("begins")
        start = time.monotonic()
        did = _do(task, before, kept, one.key, path, people)
        seconds = time.monotonic() - start
        say("did", did.lines, seconds)
        record = {"lines": list(did.lines), "seconds": round(seconds, 3), "gain": did.gain}
        ran.steps.append({"step": one.key, "skipped": False, **record})
        if did.waiting or did.interrupted:
            ran.ended, ran.waiting = "waiting" if did.waiting else "interrupted", did.waiting
            return ran
        ran.n_done += 1
        kept[one.key] = {"went_in": _went_in(task), "done": True, "at": time.time(), **record}
        _write(path, kept)
        if _plateau(one.step, did.gain):
            over = True
            say(
                "rounds end", [f"the gain of {did.gain:.1%} is not above {one.step.stop_below:.1%}"]
            )
    return ran


def _do(
    task: Task,
    before: dict[str, Any] | None,
    kept: dict[str, Any],
    key: str,
    path: Path,
    people: Callable[[Project, str], None] | None,
) -> Did:
    """Do a step; what is there of other inputs is put aside first."""
    lines = []
    went_in = _went_in(task)
    if before is not None and before["went_in"] != went_in:
        aside = set_aside(task)
        lines += [aside] if aside else []
    kept[key] = {"went_in": went_in, "done": False, "lines": [], "at": time.time()}
    _write(path, kept)
    did = DO[task.step.stage](task)
    if task.step.stage == "audit" and did.waiting and people is not None:
        people(task.project, task.step.name or "round-1")
        lines += [*did.lines[:1], "simulated people labelled it; no person did"]
        did = DO["audit"](task)
    return Did((*lines, *did.lines), did.waiting, did.interrupted, did.gain)


def _skip(task: Task, before: dict[str, Any] | None) -> bool:
    fresh = is_fresh(task)
    if fresh is not None:
        return fresh and before is not None and bool(before["done"])
    made = made_by(task)
    if before is None or not before["done"] or (made is not None and not made.exists()):
        return False
    return bool(before["went_in"] == _went_in(task))


def _plateau(step: Step, gain: float | None) -> bool:
    return step.stop_below is not None and gain is not None and gain <= step.stop_below


def _went_in(task: Task) -> str:
    """A hash of all that the step depends on."""
    text = json.dumps(depends_on(task), sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["steps"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"{path}: damaged; delete it: each step then finds by itself what it did"
        ) from error
    return found


def _write(path: Path, kept: Mapping[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"steps": kept})
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); make room") from error

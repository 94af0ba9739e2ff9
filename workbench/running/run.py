"""`workbench run`: steps in order, each skipped when nothing that goes into it has changed.

What was done stands in `runs/recipes/NAME.json` (`history`). A step that was cut off is done again,
and its stage goes on where it stopped.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pipelines.agreement.estimate import Estimate
from pipelines.config import RunConfig
from pipelines.errors import BadInput
from pipelines.run import STAGES, Planned, Recipe, StageName, Step, changed, load_recipe, planned
from workbench.data_files import data_dir
from workbench.project import Project
from workbench.running.depends import (
    depends_on,
    hash_of,
    is_fresh,
    made_by,
    model_weights,
    set_aside,
    settled,
)
from workbench.running.history import History, Kept, begun
from workbench.running.making import FIRST_ROUND
from workbench.running.stages import DO
from workbench.running.task import Bars, Did, People, Task, words

# With --quick: whether everything fits together, in seconds; the figures mean nothing.
QUICK: Mapping[str, Any] = {
    "generate": {"resamples": 0},
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
What = Literal["begins", "skipped", "did", "rounds end"]


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
    what: What
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

    def config(self, project: Project, one: Planned) -> RunConfig:
        """The project's settings as the recipe and this step have them."""
        quick = (QUICK,) if self.quick else ()
        pairs = ({"pairs": one.pairs},) if one.pairs else ()
        return changed(project.config, self.recipe.set, *pairs, one.step.set, *quick)


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
    people: People | None = None,
) -> Ran:
    """Take the steps in order.

    Args:
        project: The project.
        asked: What is to be run.
        bars: Progress.
        tell: Is told of each step.
        people: The sandbox's, who label rounds; None where real people label.

    Raises:
        BadInput: A step cannot be done as it is set; what was done before it is kept.
        ServiceFailed: A service failed after retries.
    """
    steps = asked.plan()
    for one in steps:
        asked.config(project, one)  # whatever is wrong with a later step is told now
    history = History.read(project.dir, asked.name)
    before: dict[StageName, str] = {}  # by stage, the hash of all its steps so far
    ran = Ran()
    over = False  # the rounds have ended before their number
    for place, one in enumerate(steps, start=1):
        if over and one.round:
            continue
        say = _Teller(tell, place, len(steps), one)
        config = asked.config(project, one)
        task = Task(Project(project.dir, config), one.step, asked.quick, bars, people)
        now = depends_on(task)
        own = settled(task, now, before)
        known = history.steps.get(one.key)
        later = any(
            other.step.stage == one.step.stage and other.key in history.steps
            for other in steps[place:]
        )
        if known is not None and _is_done(task, known, hash_of(now), own, later):
            say("skipped", known.lines)
            ran.n_skipped += 1
            ran.steps.append(_told(one, known, skipped=True))
        else:
            say("begins")
            known, did = _do(task, one.key, history, hash_of(now), own)
            say("did", did.lines, known.seconds)
            ran.steps.append(_told(one, known, skipped=False))
            if did.waiting or did.interrupted:
                ran.ended, ran.waiting = "waiting" if did.waiting else "interrupted", did.waiting
                return ran
            ran.n_done += 1
        stage = one.step.stage
        before[stage] = hash_of([before.get(stage), own])
        ends = plateau(one.step, known.gain)
        if ends is not None:
            over = True
            say("rounds end", [ends])
    return ran


@dataclass(frozen=True)
class _Teller:
    tell: Callable[[Told], None]
    place: int
    n_steps: int
    planned: Planned

    def __call__(self, what: What, lines: Sequence[str] = (), seconds: float = 0.0) -> None:
        self.tell(Told(self.place, self.n_steps, self.planned, what, tuple(lines), seconds))


def _do(task: Task, key: str, history: History, went_in: str, own: str) -> tuple[Kept, Did]:
    """Do a step; what is there of other inputs is put aside first."""
    known = history.steps.get(key)
    lines: list[str] = []
    if known is not None and known.own != own:
        lines += set_aside(task, known.weights)
    weights = model_weights(task) if task.step.stage == "generate" else {}
    kept = begun(went_in, own, weights)
    history.keep(key, kept)
    start = time.monotonic()
    did = DO[task.step.stage](task)
    if task.step.stage == "audit" and did.waiting and task.people is not None:
        task.people(task.project, task.step.name or FIRST_ROUND)
        lines += [*did.lines[:1], "simulated people labelled it; no person did"]
        did = DO["audit"](task)
    did = replace(did, lines=(*lines, *did.lines))
    if task.step.stage in ("audit", "evaluate"):
        went_in = hash_of(depends_on(task))  # a round that they drew is no change from outside
    kept = kept.model_copy(
        update={
            "went_in": went_in,
            "done": not (did.waiting or did.interrupted),
            "seconds": round(time.monotonic() - start, 3),
            "lines": did.lines,
            "gain": did.gain,
            "figures": did.figures,
        }
    )
    history.keep(key, kept)
    return kept, did


def _is_done(task: Task, known: Kept, went_in: str, own: str, later: bool) -> bool:
    """Whether nothing that goes into a step has changed since it was done.

    Args:
        task: The step.
        known: What is kept of it.
        went_in: What goes in now.
        own: The same without what is shared.
        later: A later step of its stage has begun, and what is shared has moved on.
    """
    made = made_by(task)
    if not known.done or known.own != own or (made is not None and not made.exists()):
        return False
    if later:
        return True
    fresh = is_fresh(task)
    return known.went_in == went_in if fresh is None else fresh


def plateau(step: Step, gain: Estimate | None) -> str | None:
    """Why the rounds end here; None while they go on.

    The estimate decides and not its interval. To go on for nothing costs a round, to stop too early
    costs its gain, and neither is what is asked first: a rule that waits until the interval lies
    below would go on at a standstill until the last round, and one that wants all of it above would
    give up gains that a few hundred prompts cannot show.
    """
    if step.stop_below is None or gain is None or gain.estimate > step.stop_below:
        return None
    said = f"{words(gain)} is not above {step.stop_below:.1%}: the rounds end here"
    if gain.high > step.stop_below:
        said += "; its interval reaches above, so more held-out prompts could say otherwise"
    return said


def _told(one: Planned, kept: Kept, skipped: bool) -> dict[str, Any]:
    about = {"step": one.key, "stage": one.step.stage, "round": one.round, "skipped": skipped}
    said = kept.model_dump(mode="json", include={"at", "seconds", "lines", "gain", "figures"})
    return {**about, **said}

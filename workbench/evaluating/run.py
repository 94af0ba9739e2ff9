"""`workbench evaluate` on a project: responses, verdicts, suites, the audit's draw, the result.

Every step is that of the commands (generate, judge, audit draw) on the evaluation's own project, so
each goes on where it stopped, and nothing is asked twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import func, select

from pipelines.errors import BadInput
from pipelines.evaluate.audited import AUDITED, audited_judgments
from pipelines.evaluate.result import EvaluationFound, write_result
from pipelines.evaluate.suites import Suite, belongs, load_suite
from pipelines.generate.draw import Sampling
from pipelines.generate.prompts import PromptFile, read_prompts
from pipelines.generate.runner import GenerateRun
from pipelines.judge.runner import JudgeRun
from pipelines.judge.spec import JudgeSpec
from pipelines.stages.budget import Limits
from pipelines.stages.lock import project_lock
from pipelines.stages.log import Spend
from pipelines.stages.standing import Standing
from workbench.data_files import data_dir
from workbench.evaluating.measure import measure
from workbench.evaluating.project import (
    Policy,
    config_of,
    evaluation_dir,
    judge_seen_from,
    make_project,
    policy_of,
)
from workbench.generating import Generated, generate_all
from workbench.judging import judge_all
from workbench.project import Project
from workbench.prompt_sets import prompts_path

SUITES = "suites"
OnStanding = Callable[[Standing], None]


@dataclass(frozen=True)
class PlannedSuite:
    """A suite that will be run."""

    name: str
    suite: Suite
    prompts: PromptFile | None  # None: the evaluation's own


@dataclass(frozen=True)
class Plan:
    """An evaluation, read and checked; nothing is written yet."""

    parent: Project
    name: str
    folder: Path
    policies: tuple[Policy, ...]
    judges: tuple[JudgeSpec, ...]  # that compare
    checkers: tuple[JudgeSpec, ...]  # of mode check, for suites
    prompts: PromptFile
    suites: tuple[PlannedSuite, ...]
    limits: Limits

    def project(self) -> Project:
        """The evaluation's project as it will be, not on disk."""
        return Project(
            self.folder, config_of(self.parent, self.folder, self.policies, self.all_judges)
        )

    @property
    def all_judges(self) -> tuple[JudgeSpec, ...]:
        """Those that compare first, for the audit's label."""
        needed = any(one.suite.measure == "check" and one.prompts is None for one in self.suites)
        return (*self.judges, *(self.checkers if needed else ()))

    def samplings(self) -> list[Sampling]:
        """How each policy responds: once to each prompt."""
        seed = self.parent.config.evaluate.seed
        return [Sampling(one.spec, 1, seed, 0.0, 0) for one in self.policies]


@dataclass(frozen=True)
class Evaluated:
    """What a run did. `found` is None while responses or verdicts are pending."""

    folder: Path
    generated: tuple[Generated, ...]
    judged: tuple[JudgeRun, ...]
    n_drawn: int  # pairs drawn for people, in this run
    found: EvaluationFound | None

    @property
    def generate_runs(self) -> list[GenerateRun]:
        """Of all steps."""
        return [run for one in self.generated for run in one.runs]


def plan(
    project: Project,
    name: str,
    policies: Sequence[str] = (),
    judges: Sequence[str] = (),
    suites: Sequence[str] = (),
    prompts: str | None = None,
    limits: Limits | None = None,
) -> Plan:
    """Read and check what an evaluation needs; what is not said is as in [evaluate].

    Raises:
        BadInput: Fewer than two policies, no judge, no prompts, or something by a name that is
            not there.
    """
    own = project.config.evaluate
    folder = evaluation_dir(project, name)
    wanted = list(dict.fromkeys(policies or own.policies))
    if len(wanted) < 2:
        raise BadInput(
            "an evaluation compares two policies or more; name them, as in `workbench evaluate "
            "BEFORE AFTER` (sections of [[models]], or training runs), or in evaluate.policies"
        )
    found = tuple(policy_of(project, one, folder) for one in wanted)
    names = [one.spec.name for one in found]
    if len(set(names)) < len(names):
        raise BadInput(f"two policies are called {max(names, key=names.count)}; rename one")
    comparing, checking = _judges(project, judges or own.judges)
    folders = (project.dir, data_dir())
    planned = tuple(_suite(project, one, folders) for one in dict.fromkeys(suites or own.suites))
    if any(one.suite.measure == "check" for one in planned) and not checking:
        raise BadInput(
            'a suite that checks principles needs a judge with mode = "check"; write one in '
            f"{project.dir / 'project.toml'}, or leave the suite out"
        )
    read = read_prompts(prompts_path(prompts or own.prompts, project.dir))
    return Plan(
        parent=project,
        name=name,
        folder=folder,
        policies=found,
        judges=tuple(comparing),
        checkers=tuple(checking),
        prompts=read,
        suites=planned,
        limits=limits or Limits(own.budget_usd, own.max_requests),
    )


def evaluate(
    planned: Plan, on_standing: OnStanding | None = None, retry_failed: bool = False
) -> Evaluated:
    """Do what is pending, then measure; what is done already is not asked again.

    Raises:
        BadInput: The folder holds another evaluation, or a model or judge cannot be asked as set.
    """
    purse = _Purse(planned.limits)
    project = make_project(
        planned.parent, planned.folder, planned.policies, planned.all_judges, planned.prompts
    )
    generated = [_generate(project, planned.prompts, planned, purse, on_standing, retry_failed)]
    judged: list[JudgeRun] = []
    if _all_there(generated) and len(project.store):
        judged += _judge(project, planned.all_judges, purse, on_standing, retry_failed)
    for one in planned.suites:
        if one.prompts is None:
            continue
        checked = planned.checkers if one.suite.measure == "check" else ()
        own = make_project(
            planned.parent,
            planned.folder / SUITES / one.name,
            [_from(planned, policy, one.name) for policy in planned.policies],
            checked,
            one.prompts,
        )
        shown = _named(on_standing, one.name)
        generated.append(_generate(own, one.prompts, planned, purse, shown, retry_failed))
        if checked and _all_there(generated) and len(own.store):
            judged += _judge(own, checked, purse, shown, retry_failed)
    n_drawn = 0
    found = None
    if _all_there(generated) and all(not run.n_pending for run in judged):
        n_drawn = _draw(planned, project) if _label_all(planned, project) else 0
        found = measure(planned, project)
        write_result(planned.folder, found)
    return Evaluated(planned.folder, tuple(generated), tuple(judged), n_drawn, found)


def _from(planned: Plan, policy: Policy, suite: str) -> Policy:
    """A policy as it is called from a suite's folder."""
    folder = planned.folder / SUITES / suite
    name = str(policy.run) if policy.run else policy.spec.name
    return policy_of(planned.parent, name, folder)


def _named(on_standing: OnStanding | None, suite: str) -> OnStanding | None:
    """Progress bars of a suite's own, since the same policies answer there too."""
    if on_standing is None:
        return None
    return lambda now: on_standing(replace(now, who=f"{suite}: {now.who}"))


class _Purse:
    """What all steps together may still use."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._usd, self._requests = 0.0, 0

    def left(self) -> Limits:
        """For the next step."""
        usd, most = self._limits.budget_usd, self._limits.max_requests
        return Limits(
            None if usd is None else max(0.0, usd - self._usd),
            None if most is None else max(0, most - self._requests),
        )

    def spend(self, spent: Spend) -> None:
        """After a step."""
        self._usd += spent.usd
        self._requests += spent.requests


def _generate(
    project: Project,
    prompts: PromptFile,
    planned: Plan,
    purse: _Purse,
    on_standing: OnStanding | None,
    retry_failed: bool,
) -> Generated:
    seed = planned.parent.config.evaluate.seed
    wanted = [Sampling(spec, 1, seed, 0.0, 0) for spec in project.config.models]
    done = generate_all(
        project, prompts, wanted, purse.left(), retry_failed=retry_failed, on_standing=on_standing
    )
    for run in done.runs:
        purse.spend(run.spent)
    return done


def _judge(
    project: Project,
    judges: Sequence[JudgeSpec],
    purse: _Purse,
    on_standing: OnStanding | None,
    retry_failed: bool,
) -> list[JudgeRun]:
    names = {one.name for one in judges}
    specs = [spec for spec in project.config.judges if spec.name in names]
    runs = judge_all(
        project, specs, (project.dir, data_dir()), purse.left(), retry_failed, on_standing
    )
    for run in runs:
        purse.spend(run.spent)
    return runs


def _all_there(generated: Sequence[Generated]) -> bool:
    return all(not run.n_pending for one in generated for run in one.runs)


def _label_all(planned: Plan, project: Project) -> int:
    """The label that people audit, on every pair; it stands once a round has been drawn.

    Returns:
        How many pairs have it now.
    """
    if not len(project.store) or _n_rounds(project):
        return 0
    names = [spec.name for spec in planned.judges]
    with project_lock(project.dir, "judge"):
        labels = audited_judgments(project.store.annotations(), names)
        return project.store.put_judgments_by_row(AUDITED, labels)


def _n_rounds(project: Project) -> int:
    from workbench.db.models import Round
    from workbench.db.session import reading

    with reading(project.engine) as session:
        return session.scalar(select(func.count()).select_from(Round)) or 0


def _draw(planned: Plan, project: Project) -> int:
    """The pairs that people label: drawn once, at random over all pairs."""
    if not planned.parent.config.evaluate.audit_pairs:
        return 0
    from workbench.audit.draw import draw_round
    from workbench.audit.options import draw_options

    return sum(draw_round(project, draw_options(project)).n_new.values())


def _judges(project: Project, names: Sequence[str]) -> tuple[list[JudgeSpec], list[JudgeSpec]]:
    """The judges that compare, and those that check."""
    known = {spec.name: spec for spec in project.config.judges}
    for name in names:
        if name not in known:
            raise BadInput(
                f'no judge "{name}" in project.toml; there are: {", ".join(known) or "none"}'
            )
        if known[name].engine == "labeler":
            raise BadInput(
                f'judge "{name}" is a trained labeler, which knows the project\'s own pairs only; '
                "name a judge that is asked"
            )
    chosen = [known[name] for name in names] or [
        spec for spec in known.values() if spec.engine != "labeler"
    ]
    comparing = [spec for spec in chosen if spec.mode != "check"]
    if not comparing:
        raise BadInput(
            f"{project.dir / 'project.toml'}: has no judge that compares two responses; write a "
            "[[judges]] section"
        )
    return comparing, [spec for spec in known.values() if spec.mode == "check"]


def _suite(project: Project, name: str, folders: Sequence[Path]) -> PlannedSuite:
    suite, path = load_suite(name, folders)
    if not suite.prompts:
        return PlannedSuite(path.stem, suite, None)
    beside = path.parent / suite.prompts
    try:
        found = beside if beside.is_file() else prompts_path(suite.prompts, project.dir)
        read = read_prompts(found)
    except BadInput as error:
        raise BadInput(f"{path}: prompts: {error}") from error
    prompts = tuple(one for one in read.prompts if belongs(suite, one.subset, one.meta))
    if not prompts:
        raise BadInput(f"{path}: none of its {len(read.prompts):,} prompts is of its subsets")
    return PlannedSuite(path.stem, suite, replace(read, prompts=prompts))


__all__ = ["Evaluated", "Plan", "PlannedSuite", "evaluate", "judge_seen_from", "plan"]

"""What an evaluation would ask, cost and take, before a cent is spent."""

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from pipelines.generate.estimate import Estimate as GenerateEstimate
from pipelines.generate.prompts import PromptFile
from pipelines.judge.estimate import Estimate as JudgeEstimate
from workbench.data_files import data_dir
from workbench.evaluating.project import config_of
from workbench.generating import estimates as generate_estimates
from workbench.generating import samplings
from workbench.judging import estimates as judge_estimates
from workbench.project import Project

if TYPE_CHECKING:
    from workbench.evaluating.run import Plan


@dataclass(frozen=True)
class EvaluationEstimate:
    """What is ahead.

    Attributes:
        responses: By policy and prompt file ("" for the evaluation's own, else the suite).
        judgments: By judge, once the responses are there; empty before.
        n_judgments: Of all judges, as far as is known: all pairs of policies, in both orders.
    """

    responses: tuple[tuple[str, GenerateEstimate], ...]
    judgments: tuple[JudgeEstimate, ...]
    n_judgments: int


def estimates(planned: "Plan") -> EvaluationEstimate:
    """About everything that is pending; asks nobody."""
    project = planned.project()
    responses = [("", one) for one in _responses(project, planned.prompts)]
    for suite in planned.suites:
        if suite.prompts is not None:
            folder = planned.folder / "suites" / suite.name
            config = config_of(planned.parent, folder, planned.policies, ())
            own = Project(folder, config)
            responses += [(suite.name, one) for one in _responses(own, suite.prompts)]
    n_pairs = len(planned.prompts.prompts) * len(list(combinations(planned.policies, 2)))
    n_judgments = sum(n_pairs * _orders(spec.mode) for spec in planned.all_judges)
    judged: list[JudgeEstimate] = []
    if len(project.store):
        judged = judge_estimates(
            project, project.config.judges, (project.dir, data_dir()), retry_failed=False
        )
    return EvaluationEstimate(tuple(responses), tuple(judged), n_judgments)


def _orders(mode: str) -> int:
    return 1 if mode in ("rating", "check") else 2


def _responses(project: Project, prompts: PromptFile) -> list[GenerateEstimate]:
    wanted = samplings(project, project.config.models, 1)
    return generate_estimates(project, prompts, wanted, retry_failed=False)

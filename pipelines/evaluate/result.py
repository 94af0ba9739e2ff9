"""What an evaluation found, as `evaluations/NAME/result.json` holds it."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.agreement.bias import SelfPreference
from pipelines.agreement.bradley_terry import Strengths
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.length_controlled import LengthControlled
from pipelines.agreement.paired import PairedComparison
from pipelines.agreement.ppi import Corrected
from pipelines.agreement.win_rate import WinRate
from pipelines.disk import write_whole
from pipelines.errors import BadInput

RESULT = "result.json"
EVALUATIONS = "evaluations"

LeakKind = Literal["same judge", "same model", "same family", "judges itself"]


class Found(BaseModel):
    """Base: immutable, nothing undeclared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PolicyFound(Found):
    """A policy and its responses.

    Attributes:
        model: Where it is: a hub or server's name, or the folder of a training run.
        failed: Responses that failed, by reason; they are compared with nobody.
        mean_chars: Of its responses that did not fail.
    """

    name: str
    model: str
    run: str | None = None
    n_responses: int
    failed: dict[str, int]
    mean_chars: float | None


class MatchupFound(Found):
    """One policy against another, as one judge sees them, and as people do.

    Attributes:
        n_same: Prompts to which both said the same: ties, counted.
        n_unjudged: Pairs without a verdict (failed or pending): not counted.
        p_adjusted: `win.p_value` for all matchups of this judge together (Holm).
        flips: Share of pairs whose verdict changes with the responses' places.
        corrected: None without human labels on at least two prompts of this matchup.
        rogan_gladen: A known formula, for comparison; never what to go by.
        corrected_detectable: As `win.detectable`, for the corrected rate.
        self_preference: Where the judge is suspected of favouring `first` or `second`.
        truth: As `win.tie_aware`, by the sandbox's own rules; None outside the sandbox.
    """

    judge: str
    first: str
    second: str
    n_same: int
    n_unjudged: int
    win: WinRate
    p_adjusted: float
    flips: Estimate | None
    length: LengthControlled | None
    corrected: Corrected | None
    corrected_detectable: float | None
    rogan_gladen: Estimate | None
    self_preference: SelfPreference | None = None
    truth: Estimate | None = None


class RankingFound(Found):
    """Bradley-Terry strengths by one judge; corrected where every matchup is."""

    judge: str
    policies: tuple[str, ...]
    raw: Strengths | None
    corrected: Strengths | None


class LeakFound(Found):
    """A judge that had a hand in what it judges.

    Attributes:
        policy: That it may favour.
        through: Training runs by which its labels came in, last first; empty when the judge is
            the policy's own model.
        labelled_by: The judge that labelled the training data.
    """

    kind: LeakKind
    judge: str
    policy: str
    labelled_by: str
    through: tuple[str, ...] = ()


class GroupFound(Found):
    """A suite's share for one policy in one category (or principle); "" is all of them."""

    policy: str
    group: str
    share: Estimate | None


class ChangeFound(Found):
    """A suite's share of one policy against the first one's, on the same prompts."""

    before: str
    after: str
    group: str
    change: PairedComparison
    p_adjusted: float


class SuiteFound(Found):
    """One suite."""

    name: str
    title: str
    about: str
    share_of: str
    by: Literal["category", "principle"]
    lower_is_better: bool
    how: str
    n_prompts: int
    n_left_out: dict[str, int]
    groups: tuple[GroupFound, ...]
    changes: tuple[ChangeFound, ...]


class AlignmentFound(Found):
    """How often a judge, or a reward model, says what people say.

    `n_ties` human ties are left out, as the paper does; `n_left_out` pairs by other reasons.
    """

    kind: Literal["labeler alignment", "reward-model accuracy"]
    name: str
    accuracy: Estimate | None
    n_ties: int
    n_left_out: dict[str, int] = Field(default_factory=dict)


class PeopleFound(Found):
    """Whose labels the correction rests on.

    Attributes:
        n_skipped: Drawn pairs that everybody skipped; no label stands for them.
        rounds_unused: Rounds that were not drawn uniformly from all pairs: their labels stand for
            a part of the pairs only, and correct nothing.
    """

    n_labels: int
    n_pairs_drawn: int
    n_simulated: int
    annotators: int
    n_skipped: int = 0
    rounds_unused: tuple[str, ...] = ()


class EvaluationFound(Found):
    """The whole."""

    name: str
    created_at: float
    confidence: float
    prompts: str
    n_prompts: int
    n_prompts_seen: int
    judges: tuple[str, ...]
    policies: tuple[PolicyFound, ...]
    people: PeopleFound | None
    matchups: tuple[MatchupFound, ...]
    rankings: tuple[RankingFound, ...]
    leaks: tuple[LeakFound, ...]
    unknown_data: tuple[str, ...]
    suites: tuple[SuiteFound, ...]
    alignment: tuple[AlignmentFound, ...]
    program: dict[str, str | None]


def write_result(folder: Path, found: EvaluationFound) -> Path:
    """Put the result into an evaluation's folder, whole or not at all.

    Raises:
        BadInput: The folder cannot be written.
    """
    path = folder / RESULT
    try:
        write_whole(path, found.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); make room") from error
    return path


def read_result(folder: Path) -> EvaluationFound | None:
    """The result of an evaluation; None before there is one.

    Raises:
        BadInput: It is damaged, or of another version of the program.
    """
    path = folder / RESULT
    try:
        return EvaluationFound.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise BadInput(
            f"{path}: damaged, or written by another version of the program; run the evaluation "
            "again, which asks nothing twice"
        ) from error


def evaluations_of(project_dir: Path) -> list[Path]:
    """Folders of a project's evaluations that have a result, newest first."""
    found = [path.parent for path in (project_dir / EVALUATIONS).glob(f"*/{RESULT}")]
    return sorted(found, key=lambda folder: (folder / RESULT).stat().st_mtime, reverse=True)

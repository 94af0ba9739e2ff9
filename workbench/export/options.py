"""What to export and how, checked before anything is read."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.config import CurateSection
from pipelines.errors import BadInput
from pipelines.preferences.curate import Policy
from workbench.export.formats import FORMS, Format, check_ties, format_named


@dataclass(frozen=True)
class ExportOptions:
    """One export. Under `pairs` the policy is not used: that file holds the evidence itself."""

    fmt: Format
    policy: Policy
    out: Path | None = None
    round: str | None = None  # only this round's labels
    label: str | None = None  # a judge or a rule
    form: str = "auto"  # one of FORMS
    test_share: float = 0.0
    seed: int = 0  # of the split by prompt
    margin: bool = False
    pseudonyms: bool = False
    dry_run: bool = False
    force: bool = False
    made: bool = False  # the outcome of `workbench pairs`; round, label and splits are its own

    def __post_init__(self) -> None:
        if not 0.0 <= self.test_share < 1.0:
            raise BadInput(f"test-share {self.test_share} is not at least 0 and below 1")
        if self.form not in FORMS:
            raise BadInput(f'form "{self.form}" is not one of {", ".join(FORMS)}')
        if self.fmt.shape != "pairs":
            check_ties(self.fmt, self.policy.ties)


def policy_of(
    format_name: str,
    defaults: CurateSection,
    *,
    disagreement: str | None = None,
    ties: str | None = None,
    identical: str | None = None,
    min_confidence: float | None = None,
    human_only: bool = False,
) -> tuple[Format, Policy]:
    """The format and its policy: what was asked for, else the project file's, else the format's.

    Raises:
        BadInput: An unknown name, a value out of range, or a policy for `pairs`, which has none.
    """
    fmt = format_named(format_name)
    asked = [disagreement, ties, identical, min_confidence, human_only or None]
    if fmt.shape == "pairs" and any(value is not None for value in asked):
        raise BadInput(
            "a pairs file holds every pair with all its labels, so no policy applies to it; "
            "leave out --disagreement, --ties, --identical, --min-confidence and --human-only"
        )
    policy = Policy(
        disagreement=disagreement or defaults.disagreement,
        ties=ties or defaults.ties,
        identical=identical or ("drop" if fmt.drops_identical else "keep"),
        min_confidence=min_confidence,
        human_only=human_only,
    )
    return fmt, policy

"""What a draw may be asked for, with the project file's values as defaults."""

import math
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ValidationError

from pipelines.config import RunConfig
from pipelines.constitution.records import load_constitution
from pipelines.errors import BadInput
from workbench.audit.design import GateDesign, Mode, SafetyRule, Ties
from workbench.audit.slices import check_names
from workbench.project import Project

_T = TypeVar("_T")


@dataclass(frozen=True)
class StratumOptions:
    """How much of a stratum to draw, and its gate. `n_pairs` overrides `share`."""

    gate: GateDesign = field(default_factory=GateDesign)
    share: float = 0.10
    n_pairs: int | None = None

    def size(self, n_population: int) -> int:
        """Pairs to draw from a population: the share rounded up, at most all of it."""
        wanted = self.n_pairs
        if wanted is None:
            # Rounded first: 0.07 * 100 is 7.000000000000001 in binary, and must not become 8.
            wanted = math.ceil(round(self.share * n_population, 6))
        return min(wanted, n_population)


@dataclass(frozen=True)
class DrawOptions:
    """Everything `draw_round` needs besides the pairs themselves."""

    label: str = ""  # empty: the only judge
    name: str = ""  # empty: round-1, round-2, ...
    seed: int = 0
    mode: Mode = "uniform"
    main: StratumOptions = field(default_factory=StratumOptions)
    safety: StratumOptions = field(default_factory=StratumOptions)
    safety_rule: SafetyRule = field(default_factory=SafetyRule)
    overlap: float = 0.15
    slices: tuple[str, ...] = ("complexity",)
    edge_cases: int = 0
    without_rounds: tuple[str, ...] = ()
    lease_minutes: float = 10.0
    seconds_per_pair: float = 45.0
    criteria: tuple[str, ...] = ()
    error_tags: tuple[str, ...] = ()
    guidelines: str = ""


@dataclass(frozen=True)
class Overrides:
    """What the command line said; None leaves the project file's value."""

    label: str | None = None
    name: str | None = None
    share: float | None = None
    n_pairs: int | None = None
    seed: int | None = None
    overlap: float | None = None
    mode: Mode | None = None
    slices: tuple[str, ...] | None = None
    trust_above: float | None = None
    warn_below: float | None = None
    alpha: float | None = None
    ties: Ties | None = None
    edge_cases: int | None = None
    without_rounds: tuple[str, ...] = ()


def draw_options(project: Project, said: Overrides | None = None) -> DrawOptions:
    """The options of a draw: the command line's where it spoke, else the project file's.

    Raises:
        BadInput: A value is out of range, or the lines of a gate are crossed.
    """
    said = said or Overrides()
    audit = project.config.audit
    safety = audit.safety
    options = DrawOptions(
        label=_or(said.label, audit.label),
        name=said.name or "",
        seed=_or(said.seed, audit.seed),
        mode=_or(said.mode, audit.mode),
        main=_main(said, project.config),
        safety=StratumOptions(
            gate=_gate(
                _or(safety.trust_above, _or(said.trust_above, audit.trust_above)),
                _or(safety.warn_below, _or(said.warn_below, audit.warn_below)),
                _or(safety.alpha, _or(said.alpha, audit.alpha)),
                _or(said.ties, audit.ties),
            ),
            share=safety.share,
            n_pairs=safety.n_pairs,
        ),
        safety_rule=SafetyRule(subsets=safety.subsets, tags=safety.tags, pattern=safety.pattern),
        overlap=_or(said.overlap, audit.overlap),
        slices=_or(said.slices, audit.slices),
        edge_cases=_or(said.edge_cases, audit.edge_cases),
        without_rounds=said.without_rounds,
        lease_minutes=audit.lease_minutes,
        seconds_per_pair=audit.seconds_per_pair,
        criteria=_criteria(project),
        error_tags=project.config.review.error_tags,
        guidelines=_guidelines(project),
    )
    check_names(options.slices)
    return options


def _criteria(project: Project) -> tuple[str, ...]:
    """What may be rated: the declared names, then the principles of the declared constitution."""
    review = project.config.review
    if not review.criteria_from:
        return review.criteria
    principles = load_constitution(project.dir / review.criteria_from).principles
    return tuple(dict.fromkeys((*review.criteria, *(one.name for one in principles))))


def _or(said: _T | None, default: _T) -> _T:
    return default if said is None else said


def _main(said: Overrides, config: RunConfig) -> StratumOptions:
    audit = config.audit
    share = _or(said.share, audit.share)
    if not 0.0 < share <= 1.0:
        raise BadInput(f"--share {share}: give a share above 0 and up to 1, for example 0.1")
    n_pairs = said.n_pairs if said.n_pairs is not None else audit.n_pairs
    if said.share is not None and said.n_pairs is None:
        n_pairs = None  # a share on the command line overrides a number in the project file
    if n_pairs is not None and n_pairs < 1:
        raise BadInput(f"--n {n_pairs}: give a number of pairs above 0")
    gate = _gate(
        _or(said.trust_above, audit.trust_above),
        _or(said.warn_below, audit.warn_below),
        _or(said.alpha, audit.alpha),
        _or(said.ties, audit.ties),
    )
    return StratumOptions(gate=gate, share=share, n_pairs=n_pairs)


def _gate(trust_above: float, warn_below: float, alpha: float, ties: Ties) -> GateDesign:
    try:
        return GateDesign(trust_above=trust_above, warn_below=warn_below, alpha=alpha, ties=ties)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise BadInput(f"gate: {where + ': ' if where else ''}{message}") from error


def _guidelines(project: Project) -> str:
    path = project.dir / project.config.review.guidelines
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: the guidelines cannot be read ({error})") from error

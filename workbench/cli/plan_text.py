"""A plan as lines of text: a table and a bar for each agreement."""

from collections.abc import Iterator, Sequence

from pipelines.agreement.plan import Plan, PlanRow

BAR_WIDTH = 20
_HEADER = (
    "agreement",
    "T TRUST",
    "= BETWEEN",
    "W WARN",
    "labels",
    "90% by",
    "hours",
    "draw",
    "fixed",
)


def plan_lines(plan: Plan) -> Iterator[str]:
    """The plan for a person, line by line."""
    gate = plan.gate
    lines = (
        f"TRUST or WARN at {gate.trust_above:.0%}"
        if gate.single_line
        else f"TRUST above {gate.trust_above:.0%}, WARN below {gate.warn_below:.0%}"
    )
    yield (
        f"{plan.n_drawn:,} of {plan.n_population:,} pairs, {plan.mode}; {lines}, each test at "
        f"{gate.alpha:g}; {plan.seconds_per_pair:g} s a pair."
    )
    yield _assumed(plan)
    yield ""
    yield _columns(_HEADER) + "  how it ends"
    for row in plan.rows:
        yield _line(row)
    yield ""
    yield (
        "labels: people's labels expected until the gate decides or the draw is used up (90% of "
        "such rounds end by the next column)."
    )
    yield (
        f"draw: pairs to draw so that the gate says the right thing with probability "
        f"{plan.power:.0%}; fixed: what a fixed sample of the same errors and power must label, "
        "if the agreement were known beforehand."
    )
    if plan.warning:
        yield ""
        yield f"Warning: {plan.warning}"


def _assumed(plan: Plan) -> str:
    """What the figures rest on, in one sentence."""
    ties = (
        f"; {plan.tie_share:.0%} of the pairs called a tie" if plan.gate.ties == "decisive" else ""
    )
    judge = (
        ""
        if plan.auroc is None
        else f"; the judge's confidence tells right labels from wrong with AUROC {plan.auroc:g}"
    )
    return f"From {plan.method}{judge}{ties}." if ties or judge else "Computed exactly."


def _line(row: PlanRow) -> str:
    cells = (
        f"{row.theta * 100:g}%",
        f"{row.trust:.0%}",
        f"{row.between:.0%}",
        f"{row.warn:.0%}",
        f"{row.mean_labels:,.0f}",
        f"{row.p90_labels:,}",
        f"{row.mean_hours:,.1f}",
        _count(row.sample_for_power),
        _count(row.fixed_sample),
    )
    return f"{_columns(cells)}  {bar(row)}"


def _columns(cells: Sequence[str]) -> str:
    return " ".join(
        f"{cell:>{max(len(name), 6)}}" for cell, name in zip(cells, _HEADER, strict=True)
    )


def _count(n: int | None) -> str:
    return "-" if n is None else f"{n:,}"


def bar(row: PlanRow) -> str:
    """The chances of each ending as BAR_WIDTH letters: T, =, W, and a dot for undecided."""
    text, covered = "", 0.0
    endings = ((row.trust, "T"), (row.between, "="), (row.warn, "W"), (row.undecided, "."))
    for chance, letter in endings:
        covered += chance
        text += letter * (round(min(covered, 1.0) * BAR_WIDTH) - len(text))
    return text + "." * (BAR_WIDTH - len(text))

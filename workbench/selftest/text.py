"""The self-test as a table of Markdown: planted beside measured."""

from collections.abc import Iterable, Sequence

from workbench.selftest.coverage import ErrorRow, Finding, Row
from workbench.selftest.live import LiveRow
from workbench.selftest.run import Report

_SAYS: dict[Finding, str] = {
    "holds": "yes",
    "wide": "wider than need be",
    "limit": "no: a known limit",
    "short": "TOO RARELY",
}


def lines(report: Report) -> list[str]:
    """Everything."""
    n_rows = len(report.rows)
    found = [
        "#### Planted beside measured",
        "",
        f"{report.n_worlds:,} worlds a row, seed {report.seed}; the planted values are summed over "
        'all that can happen. "One audit" is the first world\'s. Coverage is the share of worlds '
        "whose 95% interval holds the planted value; below and above count intervals that lie "
        "wholly on that side of it.",
        "",
        *_table(
            ("planted", "diagnosis", "planted value", "mean", "one audit", "coverage",
             "below", "above", "95% holds"),
            (_row(row, n_rows) for row in report.rows),
        ),
        "",
        "#### Errors where nothing is wrong (at most 5% each)",
        "",
        *_table(
            ("world", "test", "worlds", "errors", "at most 5%"),
            (_error(row, len(report.errors)) for row in report.errors),
        ),
    ]  # fmt: skip
    if report.live:
        found += [
            "",
            "#### Through the real server and the real queue (simulated models, simulated people)",
            "",
            *_table(
                ("world", "diagnosis", "planted", "measured", "holds"),
                (_live(row) for row in report.live),
            ),
        ]
    return [*found, "", summary(report)]


def summary(report: Report) -> str:
    """What it comes to, in a few sentences."""
    n_held = sum(row.holds for row in report.live)
    parts = [
        f"{'PASSED' if report.passed else 'FAILED'}: {len(report.rows)} diagnoses, "
        f"{len(report.short)} cover too rarely, {len(report.limits)} are at a known limit, "
        f"{len(report.wide)} are wider than need be; "
        f"{len(report.errors)} tests and gates, {len(report.too_often)} err too often",
    ]
    if report.live:
        parts.append(f"{n_held} of {len(report.live)} intervals hold behind the real server")
    parts.append(
        "binomial error, all rows together at 5%; "
        f"{report.seconds:,.0f} s, {report.cpu_seconds:,.0f} CPU s"
    )
    return ". ".join(parts) + "."


def _row(row: Row, n_rows: int) -> tuple[str, ...]:
    one = row.example
    undefined = f" ({row.n_undefined} undefined)" if row.n_undefined else ""
    return (
        row.scenario,
        row.diagnosis,
        f"{row.planted:.3f}",
        f"{row.mean:.3f}",
        f"{one.estimate:.3f} ({one.low:.3f} to {one.high:.3f}), n = {one.n:,}",
        f"{row.coverage:.1%}{undefined}",
        f"{row.below}",
        f"{row.above}",
        _SAYS[row.finding(n_rows)],
    )


def _error(row: ErrorRow, n_rows: int) -> tuple[str, ...]:
    holds = "NO" if row.exceeds(n_rows) else "yes"
    return row.scenario, row.test, f"{row.n:,}", f"{row.rate:.2%}", holds


def _live(row: LiveRow) -> tuple[str, ...]:
    one = row.measured
    measured = f"{one.estimate:.3f} ({one.low:.3f} to {one.high:.3f}), n = {one.n:,}"
    return row.world, row.diagnosis, f"{row.planted:.3f}", measured, "yes" if row.holds else "no"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]

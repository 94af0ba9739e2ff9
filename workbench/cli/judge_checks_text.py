"""What the checks of judges print: tables on stdout, each with the sentences that it needs."""

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from pipelines.agreement.estimate import Estimate
from pipelines.agreement.judge_matrix import EffectiveJudges, JudgeMatrix
from pipelines.judge.cascade import Cascade, Line, Savings
from pipelines.judge.compare import PAPER_NOTE, SideBySide
from pipelines.judge.ensemble import Ensemble
from pipelines.judge.ensemble_check import EnsembleCheck
from pipelines.judge.validate import HumanSide, ValidateOptions, Validation
from workbench.audit.human_side import human_lines

_MIN_WIDTH = 120  # where stdout is no terminal, so that a pipe gets whole lines
_SHOWN = 8  # judges across a matrix


def print_validation(
    found: Sequence[Validation], human: HumanSide, options: ValidateOptions
) -> None:
    """Each judge's accuracy and verdict, then its slices."""
    console = _console()
    for line in human_lines(human):
        console.print(line)
    table = _table("judge", "verdict", "accuracy", "left out")
    for one in found:
        table.add_row(one.judge, one.verdict, _share(one.accuracy), _left_out(one))
    console.print(table)
    level = f"{100 * (1 - options.alpha):g}%"
    console.print(
        f"TRUST: the {level} lower bound lies above {_percent(options.trust_above)}. WARN: "
        f"measured under {_percent(options.warn_below)}. UNDECIDED: neither."
    )
    for one in found:
        console.print(_advice(one, options))
    rows = [(one.judge, part) for one in found for part in one.slices]
    if rows:
        console.print("\nBy slice (exploratory: among many, some are bound to look bad)")
        table = _table("judge", "slice", "value", "accuracy")
        for judge, part in rows:
            table.add_row(judge, part.slice, part.value, _share(part.accuracy))
        console.print(table)


def print_comparison(table: SideBySide, human: HumanSide) -> None:
    """Judges side by side, then each against the baseline."""
    console = _console()
    for line in human_lines(human):
        console.print(line)
    console.print(
        f"{table.n_decided:,} pairs are decided by people; {table.n_human_tie:,} human ties are "
        "left out. A judge that contradicts itself between the orders of a pair is half right."
    )
    shown = _table("judge", "accuracy", "abstains", "silent")
    for one in table.settings:
        shown.add_row(one.judge, _share(one.accuracy), f"{one.n_abstained:,}", f"{one.n_silent:,}")
    console.print(shown)
    console.print(f"Against {table.baseline}, on the pairs that both answered:")
    shown = _table(
        *("judge", "difference", "only it is right", "only the baseline"),
        *("exact p", "p, all looked at", "pairs"),
    )
    for contrast in table.contrasts:
        pair = contrast.paired
        if pair is None:
            shown.add_row(contrast.judge, *["none in common"] + [""] * 5)
            continue
        gap = pair.difference
        shown.add_row(
            contrast.judge,
            f"{100 * gap.estimate:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}] points",
            f"{pair.n_first_better:,}",
            f"{pair.n_second_better:,}",
            _p(pair.p_value),
            _p(contrast.p_adjusted),
            f"{pair.n:,}",
        )
    console.print(shown)
    console.print(PAPER_NOTE)


def print_matrix(matrix: JudgeMatrix, effective: EffectiveJudges | None, why: str) -> None:
    """Agreement of every two judges, and what the panel is worth."""
    console = _console()
    console.print("Share of pairs with the same label (kappa)")
    shown = matrix.judges[:_SHOWN]
    table = _table("", *shown)
    for row, judge in enumerate(matrix.judges):
        cells = []
        for column in range(len(shown)):
            if row == column:
                cells.append("")
                continue
            same, kappa = matrix.agreement[row, column], matrix.kappa[row, column]
            corrected = "-" if math.isnan(kappa) else f"{kappa:.2f}"
            cells.append("no pairs" if math.isnan(same) else f"{_percent(same)} ({corrected})")
        table.add_row(judge, *cells)
    console.print(table)
    if len(matrix.judges) > len(shown):
        console.print(f"The first {len(shown)} columns; --json has them all.")
    if effective is None:
        console.print(f"How many judges they are worth is not known: {why}.")
        return
    worth, k = effective.n_effective, len(effective.judges)
    console.print(
        f"{k} judges are worth {worth.estimate:.1f} [{worth.low:.1f}, {worth.high:.1f}] "
        f"independent ones: on {effective.n_pairs:,} pairs that people decided their errors "
        f"correlate by {effective.mean_correlation:.2f} on average ({k} / (1 + {k - 1} x that "
        f"correlation); by eigenvalues {effective.n_by_eigenvalues:.1f})."
    )
    if effective.excluded:
        console.print(f"Always right or always wrong there: {', '.join(effective.excluded)}.")
    if effective.collapsed:
        console.print(
            "WARNING: the panel has collapsed. Its judges err on the same pairs, so their "
            "agreement is no evidence; add a judge of another kind, or pay for fewer."
        )


def print_ensemble(
    made: Ensemble, check: EnsembleCheck | None, why: str, stored: str | None
) -> None:
    """What an ensemble decided, and whether it is worth its judges."""
    console = _console()
    console.print(
        f"{made.method} of {len(made.judges)} judges ({', '.join(made.judges)}): "
        f"{made.n_labels:,} labels."
    )
    for count, what in (
        (made.n_undecided, "pairs without a majority, or with votes that cancel out: no label"),
        (made.n_unsure, f"labels less sure than {made.threshold:g}: dropped"),
        (made.n_silent, "pairs without a label of any judge"),
        (made.n_partial, "labels to which not every judge contributed"),
    ):
        if count:
            console.print(f"  {count:>9,} {what}")
    if made.weights is not None:
        table = _table("judge", "accuracy", "on pairs", "weight")
        for place, judge in enumerate(made.weights.judges):
            table.add_row(
                judge,
                _percent(made.weights.accuracy[place]),
                f"{made.weights.n[place]:,}",
                f"{made.weights.weight[place]:.2f}",
            )
        console.print(table)
        console.print(
            "These labels have learned from people's: a round that certifies them must leave those "
            "pairs out (`workbench audit draw --exclude-round`)."
        )
    if made.method == "dawid-skene":
        console.print(
            "Dawid-Skene takes the judges' errors as independent; where they are not, it is surer "
            "than it should be (`workbench judge matrix`)."
        )
    if check is None:
        console.print(f"Not held against people: {why}.")
    else:
        _print_check(console, check)
    if stored is None:
        console.print("Nothing was stored.")
    else:
        console.print(f'Stored as the judge "{stored}".')


def print_cascade(
    judges: tuple[str, str],
    threshold: float,
    line: Line | None,
    saved: Savings,
    made: Cascade | None,
    stored: str | None,
) -> None:
    """Where the line lies, what it keeps and what it saves."""
    console = _console()
    cheap, dear = judges
    if not math.isfinite(threshold):
        console.print(
            f"No line keeps what it must on these labels: everything goes to {dear}. Label more "
            "pairs, or allow a larger --max-loss."
        )
    else:
        console.print(f"{cheap} is taken at its word from a confidence of {threshold:.3f}.")
    if line is not None and line.kept_right is not None:
        console.print(
            f"Chosen on {line.n_decided:,} pairs that people decided; {cheap} keeps "
            f"{_percent(line.share_kept)} of them and is right on {_share(line.kept_right)}."
        )
        if line.calibrated is not None:
            console.print(f"At just that confidence it is right {_percent(line.calibrated)}.")
        if line.difference is not None:
            gap = line.difference
            console.print(
                f"The cascade is right on {_share(line.cascade_right)}, {dear} alone on "
                f"{_share(line.dear_right)}: {100 * gap.estimate:+.1f} points, at worst "
                f"{100 * gap.low:+.1f}."
            )
    console.print(
        f"{saved.n_sent:,} of {saved.n_pairs:,} pairs go to {dear}: "
        f"{saved.dear_requests_saved:,.0f} of its {saved.requests_dear_alone:,.0f} requests are "
        f"saved, {_money(saved)}."
    )
    if made is not None:
        console.print(
            f"{made.n_cheap:,} labels of {cheap}, {made.n_dear:,} of {dear}; "
            f"{made.n_waiting:,} pairs still lack one."
        )
    if stored is not None:
        console.print(f'Stored as the judge "{stored}".')


def _print_check(console: Console, check: EnsembleCheck) -> None:
    how = ", weights learned on other prompts" if check.cross_fitted else ""
    gap = check.against_best.difference
    console.print(f"Right on {_share(check.accuracy)} of the pairs that people decided{how}.")
    console.print(
        f"Against its best member, {check.best_member}: {100 * gap.estimate:+.1f} "
        f"[{100 * gap.low:+.1f}, {100 * gap.high:+.1f}] points, "
        f"p = {_p(check.against_best.p_value)}."
    )
    table = _table("confidence", "labels kept", "dropped", "kept are right", "dropped were right")
    for row in check.thresholds:
        table.add_row(
            f"{row.threshold:g}",
            f"{row.n_kept:,}",
            f"{row.n_dropped:,}",
            _share(row.kept_right),
            _share(row.dropped_right),
        )
    console.print(table)


def _advice(one: Validation, options: ValidateOptions) -> str:
    if one.accuracy is None:
        if one.n_learned:
            return (
                f"{one.judge}: has learned from these human labels, so they say nothing of it; "
                "label pairs that it has not seen (a new round, without the old one's pairs)."
            )
        return f"{one.judge}: no pair can be compared."
    if one.verdict == "TRUST":
        return f"{one.judge}: trusted on these pairs; `workbench audit` certifies."
    if one.verdict == "WARN":
        sure = one.upper_bound is not None and one.upper_bound < options.warn_below
        return (
            f"{one.judge}: WARNING, measured under {_percent(options.warn_below)}"
            f"{'' if sure else ' (chance alone may do that)'}: mend its prompt, or correct it."
        )
    if one.n_to_decide is None:
        return f"{one.judge}: between the lines; more labels will hardly bring trust."
    return (
        f"{one.judge}: looks good, and {one.accuracy.n:,} labels do not prove it; about "
        f"{one.n_to_decide:,} would, if it stays so."
    )


def _left_out(one: Validation) -> str:
    parts = (
        (one.n_human_tie, "human ties"),
        (one.n_failed, "failed"),
        (one.n_abstained, "abstained"),
        (one.n_missing, "not asked"),
        (one.n_learned, "learned from"),
    )
    return ", ".join(f"{count:,} {what}" for count, what in parts if count) or "none"


def _money(saved: Savings) -> str:
    if saved.usd_saved is None or saved.usd is None or saved.usd_dear_alone is None:
        return "dollars unknown (a judge has no price)"
    what = "saved" if saved.usd_saved >= 0 else "more"
    return (
        f"{saved.usd:,.2f} USD for both judges in place of {saved.usd_dear_alone:,.2f} "
        f"({abs(saved.usd_saved):,.2f} {what})"
    )


def _share(value: Estimate | None) -> str:
    if value is None:
        return "not measured"
    low, high = 100 * value.low, 100 * value.high
    return f"{100 * value.estimate:.1f}% [{low:.1f}, {high:.1f}] n={value.n:,}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "<0.0001" if value < 1e-4 else f"{value:.4f}"


def _table(*head: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in head:
        table.add_column(name, overflow="fold")
    return table


def _console() -> Console:
    console = Console(highlight=False, markup=False)
    if console.is_terminal:
        return console
    width = max(_MIN_WIDTH, console.width)
    return Console(highlight=False, markup=False, width=width, no_color=True)

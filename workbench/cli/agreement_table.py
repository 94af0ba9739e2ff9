"""The agreement report as tables for a person: people first, because they are the ceiling."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from pipelines.agreement.estimate import Estimate
from pipelines.agreement.report import ReportOptions
from workbench.cli.reading import FileContent, counted

_MIN_WIDTH = 100  # where stdout is no terminal, so that a pipe gets whole lines
_MAX_COUPLES = 15
_NOTABLE_GAP = 0.1  # between AC1 and kappa

_COUNTED = {
    "drop": "left out",
    "wrong": "counted as wrong",
    "tie": "counted as ties",
}
_TIES = {
    "strict": "A, B and tie must be equal",
    "half": "a tie against A or B counts half",
    "drop": "pairs with a tie on either side are left out",
}


def print_report(
    name: str,
    content: FileContent,
    report: Mapping[str, Any],
    ceiling: Estimate | None,
    n_abstained: Mapping[str, int],
    options: ReportOptions,
) -> None:
    """Print the whole report to stdout.

    Args:
        name: What the reader called the file.
        content: Its annotations and what was left out.
        report: From `agreement_report`.
        ceiling: How often two people agree.
        n_abstained: Pairs on which a judge's verdicts contradict each other.
        options: How it was counted.
    """
    console = Console(highlight=False, markup=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(
            highlight=False, markup=False, width=max(_MIN_WIDTH, console.width), no_color=True
        )
    console.print(f"{name} ({content.format}): {_pairs_line(report)}")
    if content.rejected:
        console.print(content.rejected)
    console.print(_how_counted(content, report["judges"], options))
    console.print()
    _print_humans(console, report["humans"], ceiling)
    if report["judges"]:
        console.print()
        _print_judges(console, report["judges"], n_abstained)
        _print_reading(console, report, n_abstained, options)
    else:
        console.print("\nNo AI verdicts: there is nothing to compare with people.")


def _pairs_line(report: Mapping[str, Any]) -> str:
    flags = [
        f"{report[key]:,} {meaning}"
        for key, meaning in (
            ("n_duplicate", "repeated"),
            ("n_identical", "with two identical responses"),
            ("n_empty", "with an empty response"),
        )
        if report[key]
    ]
    return f"{report['n_pairs']:,} pairs" + (f" ({', '.join(flags)}; all kept)" if flags else "")


def _how_counted(content: FileContent, judges: Mapping[str, Any], options: ReportOptions) -> str:
    annotations = content.annotations
    n_prompts = len(np.unique(annotations.prompt))
    reference = (
        "the majority of a pair's labels, no majority is a tie"
        if options.reference == "majority"
        else f"the labels of {options.reference}"
    )
    lines = [
        f"Human reference: {reference}. Ties: {_TIES[options.ties]}. "
        f"Failed verdicts: {_COUNTED[options.unparsed]}. Intervals: {options.confidence:.0%}."
    ]
    if n_prompts < annotations.n_pairs:
        lines.append(
            f"Prompts repeat ({counted(n_prompts, 'prompt')}, {annotations.n_pairs:,} pairs): "
            "intervals are clustered by prompt."
        )
    elif any(
        (judge["by_verdict"]["agreement"] or {}).get("method") == "cluster"
        for judge in judges.values()
    ):
        lines.append("A judge's verdicts on one pair hang together: their intervals are clustered.")
    return "\n".join(lines)


def _print_humans(console: Console, humans: Mapping[str, Any], ceiling: Estimate | None) -> None:
    counts = humans["reference_counts"]
    if not humans["n_labels"]:
        console.print("People: no human labels, so no agreement with people can be computed.")
        return
    console.print(
        f"People: {counted(humans['n_annotators'], 'annotator')}, "
        f"{counted(humans['n_labels'], 'label')}, "
        f"{counted(humans['n_overlap_pairs'], 'pair')} with two labels or more; "
        f"reference A {counts['A']:,}, B {counts['B']:,}, tie {counts['tie']:,}."
    )
    if ceiling is None:
        console.print(
            "No pair has labels of two people: the ceiling, human-human agreement, is unknown."
        )
        return
    overall = _table("People against people: the ceiling", "pairs", "agreement", "Fleiss κ")
    overall.add_column("Krippendorff α", justify="right")
    overall.add_column("Gwet AC1", justify="right")
    overall.add_row(
        f"{ceiling.n:,}",
        _percent(ceiling.as_dict()),
        _plain(humans["fleiss_kappa"]),
        _plain(humans["krippendorff_alpha"]),
        _plain(humans["gwet_ac1"]),
    )
    console.print(overall)
    couples = sorted(humans["pairwise"], key=lambda couple: -int(couple["n"]))
    if len(couples) < 2:
        return
    pairwise = _table("", "annotators", "pairs", "agreement", "Cohen κ")
    for couple in couples[:_MAX_COUPLES]:
        pairwise.add_row(
            f"{couple['a']} - {couple['b']}",
            f"{couple['n']:,}",
            _percent(couple["agreement"]),
            _plain(couple["cohen_kappa"]),
        )
    console.print(pairwise)
    if len(couples) > _MAX_COUPLES:
        console.print(f"({len(couples) - _MAX_COUPLES} more couples with fewer pairs: --json)")


def _print_judges(
    console: Console, judges: Mapping[str, Any], n_abstained: Mapping[str, int]
) -> None:
    table = _table("AI judges against people", "judge", "by", "n", "agreement", "Cohen κ")
    for column in ("Gwet AC1", "F1"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, judge in judges.items():
        kinds = [("verdict", judge["by_verdict"])]
        if judge["by_label"] and judge["by_label"] != judge["by_verdict"]:
            kinds.append(("label", judge["by_label"]))
        for kind, figures in kinds:
            table.add_row(
                name if kind == "verdict" else "",
                kind,
                f"{figures['n']:,}",
                _percent(figures["agreement"]),
                _plain(figures["cohen_kappa"]),
                _plain(figures["gwet_ac1"]),
                _point(figures["f1_macro"]),
            )
    if any(judge["by_verdict"]["n"] for judge in judges.values()):
        console.print(table)
    other = _table("What each judge left unsaid", "judge", "verdicts", "failed", "abstains")
    other.add_column("stands in for people", justify="right", no_wrap=True)
    for name, judge in judges.items():
        alt = judge["alt_test"]
        other.add_row(
            name,
            f"{judge['n_verdicts']:,}",
            ", ".join(f"{count:,} {why}" for why, count in judge["n_failed"].items()) or "0",
            counted(n_abstained.get(name, 0), "pair"),
            f"omega {alt['omega']:.2f}" if alt else "-",
        )
    console.print(other)
    seen = {name: judge["position"] for name, judge in judges.items() if judge["position"]}
    if not seen:
        console.print("Position bias is unknown: no judge saw a pair in both orders.")
        return
    position = _table("Position bias", "judge", "pairs", "verdict flips", "first one wins", "p")
    for name, figures in seen.items():
        position.add_row(
            name,
            f"{figures['n']:,}",
            _percent(figures["flip_rate"]),
            _percent(figures["first_rate"]),
            _p_value(figures["p_value"]),
        )
    console.print(position)


def _print_reading(
    console: Console,
    report: Mapping[str, Any],
    n_abstained: Mapping[str, int],
    options: ReportOptions,
) -> None:
    """Sentences that keep a reader from the usual mistakes, where they apply to these figures."""
    judges = report["judges"]
    sentences = []
    gaps = [
        (figures["gwet_ac1"]["estimate"] - figures["cohen_kappa"]["estimate"], name)
        for name, judge in judges.items()
        for figures in [judge["by_label"] or judge["by_verdict"]]
        if figures["gwet_ac1"] and figures["cohen_kappa"]
    ]
    counts = report["humans"]["reference_counts"]
    if gaps and max(gaps)[0] > _NOTABLE_GAP:
        gap, name = max(gaps)
        top = max(counts, key=lambda label: int(counts[label]))
        share = counts[top] / max(1, sum(counts.values()))
        sentences.append(
            f"κ is {gap:.2f} below AC1 for {name}: κ collapses when labels are unevenly spread "
            f"(here {share:.0%} {top}, and {counts['tie']:,} ties), AC1 does not; read both."
        )
    elif gaps:
        sentences.append(
            "κ and AC1 are close here; κ collapses when one label prevails, AC1 does not."
        )
    if any(judge["position"] for judge in judges.values()):
        sentences.append(
            "Verdict flips: the label depends on which response was shown first; p tests whether "
            "the flips favour one place (exact sign test). First one wins: 50% when it does not "
            "matter."
        )
    if any(n_abstained.values()):
        sentences.append(
            "By label: after the verdicts of a pair are combined; a judge abstains where they "
            "contradict each other, or are less sure than its abstain_below in project.toml."
        )
    if any(judge["alt_test"] for judge in judges.values()):
        sentences.append(
            f"Omega: share of annotators whom the judge may stand in for (alternative annotator "
            f"test, epsilon {options.epsilon}; it passes at 0.50)."
        )
    for sentence in sentences:
        console.print(sentence)


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title or None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        names = column in ("judge", "annotators")  # long ones are folded, figures never
        justify: Literal["left", "right"] = "left" if names or column == "by" else "right"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=not names)
    return table


def _percent(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    low, high = 100 * figure["low"], 100 * figure["high"]
    return f"{100 * figure['estimate']:.1f}% [{low:.1f}-{high:.1f}]"


def _plain(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    return f"{figure['estimate']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"


def _point(figure: Mapping[str, Any] | None) -> str:
    return "-" if figure is None else f"{figure['estimate']:.2f}"


def _p_value(p: float) -> str:
    return "<.001" if p < 0.001 else f"{p:.3f}"

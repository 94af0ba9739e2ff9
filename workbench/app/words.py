"""Words and small pieces that several pages share. Untrusted text is made plain here."""

import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from pipelines.agreement.estimate import Estimate
from pipelines.preferences.combine import RULES, is_derived
from workbench.audit.design import RoundDesign
from workbench.audit.reading import StratumReading

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&])")

DECISION_WORDS = {
    "TRUST": "the AI labels can be trusted",
    "WARN": "do not train on these labels as they are",
    "BETWEEN": "the labels lie between the two lines",
    "UNDECIDED": "the labels so far do not decide",
}
STRATUM_WORDS = {"main": "Pairs outside the safety stratum", "safety": "Safety-critical pairs"}


def plain(text: str) -> str:
    """Text for Markdown, with everything that Markdown would read as a sign escaped."""
    return _MARKDOWN.sub(r"\\\1", text.replace("\n", " "))


def for_chart(text: str, longest: int = 60) -> str:
    """Text for a chart's label, where Plotly would read tags; cut to a readable length."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return html.escape(cut.replace("\n", " "))


def interval_words(value: Estimate | None) -> str:
    """An estimate in a sentence, or that there is none yet."""
    if value is None:
        return "not measured yet"
    return (
        f"{value.estimate:.1%} (95% interval {value.low:.1%} to {value.high:.1%}, n = {value.n:,})"
    )


def cell_words(value: Estimate | None) -> str:
    """A share with its interval, for a cell of a table."""
    if value is None:
        return "not measured"
    return f"{value.estimate:.1%} ({100 * value.low:.1f} to {100 * value.high:.1f})"


def points_words(value: Estimate | None) -> str:
    """A difference of two shares with its interval, in points, for a cell of a table."""
    if value is None:
        return "not measured"
    point, low, high = (100 * one for one in (value.estimate, value.low, value.high))
    return f"{point:+.1f} ({low:+.1f} to {high:+.1f})"


def estimates_table(rows: Sequence[tuple[str, Estimate | None]], name: str) -> pd.DataFrame:
    """Named estimates as a table; an undefined one keeps its row, empty."""
    return pd.DataFrame(
        [
            {
                name: label,
                "estimate": value.estimate if value else None,
                "low": value.low if value else None,
                "high": value.high if value else None,
                "n": value.n if value else 0,
                "method": value.method if value else "undefined",
            }
            for label, value in rows
        ]
    )


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A table as CSV that is safe to open in a spreadsheet: no cell starts a formula."""

    def harmless(value: object) -> object:
        if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
            return "'" + value
        return value

    return table.map(harmless).to_csv(index=False).encode("utf-8-sig")


def download(table: pd.DataFrame, file_name: str, key: str) -> None:
    """A button that downloads a table as CSV."""
    st.download_button(
        "Download as CSV",
        lambda: csv_bytes(table),
        file_name=file_name,
        mime="text/csv",
        key=key,
        on_click="ignore",
        icon=":material/download:",
    )


def duration_words(seconds: float) -> str:
    """A duration in the unit that a reader thinks in."""
    if seconds < 10:
        return f"{seconds:.1f} seconds"
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def waiting_words(part: StratumReading) -> str:
    """Why labels that are there are not read yet, or how an undecided draw goes on; else empty."""
    n = part.labels.n_waiting
    if not n:
        all_read = 0 < part.labels.n_drawn == len(part.labels) < part.design.n_population
        if all_read and part.decision == "UNDECIDED":
            return (
                "Every drawn pair is read and the labels do not decide: while the round is open, "
                "Extend on the Rounds page draws more, and costs the certificate nothing."
            )
        return ""
    labels = (
        "1 more label is given and waits" if n == 1 else f"{n:,} more labels are given and wait"
    )
    return (
        f"{labels}: pairs are read in draw order, and draw position {len(part.labels) + 1:,} is "
        "still open (nobody labelled it yet, or it was skipped and is somebody else's turn)."
    )


def left_out_words(label: str, excluded: Mapping[str, int], n_population: int) -> str:
    """A sentence on the pairs that an audit leaves out, and why; empty where it takes all.

    Args:
        label: The audited label.
        excluded: Pairs that are not in N, by reason (`workbench.audit.population.REASONS`).
        n_population: Pairs that are.
    """
    n_out = sum(excluded.values())
    if not n_out:
        return ""
    several = is_derived(label) or label in RULES
    why = {
        "no verdict": "its judges were too unsure or undecided together, or gave no answer"
        if several
        else "it was not asked about them",
        "failed": "every answer failed: refused, cut off, or unreadable",
        "abstained": "it abstained: its answers contradict each other, or it was too unsure",
        "drawn in another round": "another round drew them",
    }
    parts = "; ".join(f"{n:,}: {why.get(name, name)}" for name, n in excluded.items())
    return (
        f"{n_out:,} of {n_out + n_population:,} pairs are left out of this audit, which says "
        f"nothing of them. Why {plain(label)} gives no label there: {parts}."
    )


def left_out_of(design: RoundDesign) -> str:
    """The same of a whole round."""
    total: Counter[str] = Counter()
    for part in design.strata:
        total.update(part.excluded)
    return left_out_words(design.label, total, sum(part.n_population for part in design.strata))

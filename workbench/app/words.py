"""Words and small pieces that several pages share. Untrusted text is made plain here."""

import html
import re
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pipelines.agreement.estimate import Estimate

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

"""Pictures of win rates and suites: bars with intervals, and who beat whom."""

from collections.abc import Sequence

import plotly.graph_objects as go

from pipelines.agreement.estimate import Estimate
from workbench.app.charts import BLUE, GREEN, GREY, LEGEND, ORANGE, RED

_COLOURS = (GREY, BLUE, ORANGE, GREEN, RED)
_PATTERNS = ("", "/", "x", ".", "\\")  # told apart without colour too

Series = tuple[str, Sequence[tuple[str, Estimate | None]]]


def bars_figure(series: Sequence[Series], axis: str, line: float | None = None) -> go.Figure:
    """Bars with intervals, in groups: one bar a series in each group.

    Args:
        series: Name, and (group, estimate) for each; an undefined estimate has no bar.
        axis: What the share is of.
        line: A share to draw a line at, such as one half.
    """
    figure = go.Figure()
    groups = list(dict.fromkeys(group for _, rows in series for group, _ in rows))
    for number, (name, rows) in enumerate(series):
        shown = [(group, value) for group, value in rows if value is not None]
        colour = _COLOURS[number % len(_COLOURS)]
        figure.add_bar(
            orientation="h",
            name=name,
            y=[group for group, _ in shown],
            x=[value.estimate for _, value in shown],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [value.high - value.estimate for _, value in shown],
                "arrayminus": [value.estimate - value.low for _, value in shown],
                "color": colour,
                "thickness": 2.5,
            },
            # Half transparent, so that the interval is seen on it, on a light page and a dark one.
            marker={
                "color": f"rgba({_rgb(colour)},0.45)",
                "line": {"color": colour, "width": 1},
                "pattern": {
                    "shape": _PATTERNS[number % len(_PATTERNS)],
                    "bgcolor": f"rgba({_rgb(colour)},0.45)",
                    "fgcolor": colour,
                    "fgopacity": 0.6,
                    "size": 6,
                    "solidity": 0.15,
                },
            },
            customdata=[(value.low, value.high, value.n) for _, value in shown],
            hovertemplate=(
                "%{y}, " + name + ": %{x:.1%} (%{customdata[0]:.1%} to %{customdata[1]:.1%}, "
                "n=%{customdata[2]})<extra></extra>"
            ),
        )
    if line is not None:
        figure.add_vline(x=line, line={"dash": "dash", "color": GREY})
    figure.update_layout(
        barmode="group",
        height=130 + 26 * sum(len(rows) for _, rows in series) + 10 * len(groups),
        margin={"l": 10, "r": 24, "t": 30, "b": 10},  # the last tick's label needs room
        legend=LEGEND | {"traceorder": "normal"},
    )
    # From the top down, groups and the bars within them.
    figure.update_yaxes(
        categoryorder="array", categoryarray=groups, autorange="reversed", automargin=True
    )
    figure.update_xaxes(title=axis, tickformat=".0%", range=[0.0, 1.0], zeroline=False)
    return figure


def matrix_figure(names: Sequence[str], rates: Sequence[Sequence[Estimate | None]]) -> go.Figure:
    """Who wins how often against whom: the row's policy over the column's, ties half."""
    text = [
        ["" if value is None else f"{value.estimate:.0%}<br>n={value.n:,}" for value in row]
        for row in rates
    ]
    figure = go.Figure(
        go.Heatmap(
            z=[[None if value is None else value.estimate for value in row] for row in rates],
            x=list(names),
            y=list(names),
            text=text,
            texttemplate="%{text}",
            textfont={"color": "#111111"},
            colorscale=[[0.0, "#B35806"], [0.5, "#F7F7F7"], [1.0, "#2166AC"]],
            zmin=0.0,
            zmax=1.0,
            colorbar={"tickformat": ".0%"},
            hovertemplate="%{y} over %{x}: %{z:.1%}<extra></extra>",
            hoverongaps=False,
        )
    )
    figure.update_yaxes(autorange="reversed", title="this policy", automargin=True)
    figure.update_xaxes(title="over this one", automargin=True)
    figure.update_layout(height=160 + 60 * len(names), margin={"l": 10, "r": 10, "t": 20, "b": 10})
    return figure


def _rgb(colour: str) -> str:
    """#0072B2 as 0,114,178."""
    return ",".join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))

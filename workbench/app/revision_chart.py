"""Violation rates over rounds of revision, as a Plotly figure: no Streamlit, no I/O."""

from collections.abc import Sequence

import plotly.graph_objects as go

from pipelines.agreement.estimate import Estimate
from workbench.app.charts import BLUE, GREEN, GREY, LEGEND, ORANGE, RED
from workbench.app.words import for_chart

# Colour, sign and dash: each principle can be told apart without seeing colours.
_LOOKS = (
    (BLUE, "circle", "solid"),
    (RED, "square", "dash"),
    (GREEN, "diamond", "dot"),
    (ORANGE, "triangle-up", "dashdot"),
    ("#CC79A7", "x", "longdash"),
    ("#56B4E9", "star", "solid"),
    (GREY, "cross", "dash"),
)
_APART = 0.05  # of a round: so that intervals of several principles do not cover each other


def rounds_figure(lines: Sequence[tuple[str, Sequence[Estimate | None]]]) -> go.Figure:
    """One line for each principle: the share that violates it after 0, 1, ... rounds.

    Args:
        lines: Name and estimates by round; an undefined one leaves a gap.
    """
    figure = go.Figure()
    for place, (name, rates) in enumerate(lines):
        colour, symbol, dash = _LOOKS[place % len(_LOOKS)]
        shift = _APART * (place - (len(lines) - 1) / 2)
        shown = [(n, rate) for n, rate in enumerate(rates) if rate is not None]
        figure.add_scatter(
            x=[n + shift for n, _ in shown],
            y=[rate.estimate for _, rate in shown],
            name=for_chart(name, 40),
            mode="lines+markers",
            line={"color": colour, "dash": dash, "width": 2},
            marker={"symbol": symbol, "size": 9},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [rate.high - rate.estimate for _, rate in shown],
                "arrayminus": [rate.estimate - rate.low for _, rate in shown],
                "color": colour,
                "thickness": 1.2,
            },
            customdata=[(n, rate.low, rate.high, rate.n) for n, rate in shown],
            hovertemplate=(
                "after %{customdata[0]} rounds: %{y:.1%} (%{customdata[1]:.1%} to "
                "%{customdata[2]:.1%}, n=%{customdata[3]})"
            ),
        )
    n_rounds = max((len(rates) for _, rates in lines), default=0)
    figure.update_xaxes(
        title="rounds of revision",
        tickmode="array",
        tickvals=list(range(n_rounds)),
        ticktext=["first"] + [str(n) for n in range(1, n_rounds)],
        zeroline=False,
    )
    figure.update_yaxes(
        title="violate it, says the critic", tickformat=".0%", rangemode="tozero", zeroline=False
    )
    figure.update_layout(
        height=380,
        margin={"l": 10, "r": 10, "t": 30, "b": 10},
        legend=LEGEND,
        hovermode="closest",
    )
    return figure

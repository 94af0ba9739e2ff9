"""Pictures of numbers: pure functions from results to Plotly figures. No Streamlit, no I/O.

Colours are of the Okabe-Ito set, told apart with any colour vision, and never the only sign.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from pipelines.agreement.annotations import IntArray
from pipelines.agreement.estimate import Estimate
from pipelines.agreement.gate import Gate, GatePath, TestName

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7A7A7A"
# Above the plot, at the chart's own edge: placed by the plot's, it lies on the curves after a
# narrow window was made wide again (its room is then reckoned from the lines that it had).
LEGEND = {"orientation": "h", "yref": "container", "yanchor": "top", "y": 1.0, "x": 0}
DECISION_COLOUR = {"TRUST": GREEN, "WARN": RED, "BETWEEN": ORANGE, "UNDECIDED": GREY}


def _percent_axis(title: str) -> dict[str, object]:
    return {"title": title, "tickformat": ".0%", "zeroline": False}


def _finish(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 30, "b": 10},
        legend=LEGEND,
        hovermode="closest",
    )
    return figure


def gate_figure(path: GatePath, gate: Gate, decided_at: int | None) -> go.Figure:
    """The anytime interval narrowing over labels, against the gate's lines."""
    figure = go.Figure()
    t = list(path.t)
    figure.add_scatter(
        x=t + t[::-1],
        y=list(path.high) + list(path.low)[::-1],
        fill="toself",
        fillcolor="rgba(0,114,178,0.18)",
        line={"width": 0},
        name="anytime 95% interval" if gate.alpha == 0.05 else "anytime interval",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=t, y=list(path.estimate), line={"color": BLUE, "width": 2}, name="agreement"
    )
    for line, name, colour, place in (
        (gate.trust_above, "TRUST above", GREEN, "top right"),
        (gate.warn_below, "WARN below", RED, "bottom right"),
    ):
        figure.add_hline(
            y=line,
            line={"dash": "dash", "color": colour},
            annotation_text=f"{name} {line:.0%}",
            annotation_position=place,
            annotation_bgcolor="rgba(255,255,255,0.85)",
            annotation_font_color="#222222",
        )
    if path.boundaries is not None:  # the bets of an active round follow no count
        deciding: tuple[tuple[TestName, str], ...] = (("trust", GREEN), ("warn", RED))
        for test, colour in deciding:
            share = path.boundaries[test] / np.maximum(path.n_decisive, 1)
            dotted = {"dash": "dot", "color": colour, "width": 1}
            name = f"decides {test.upper()}"
            figure.add_scatter(x=t, y=list(share), mode="lines", line=dotted, name=name)
    if decided_at is not None:
        figure.add_vline(
            x=decided_at, line={"color": GREY}, annotation_text=f"decided at {decided_at}"
        )
    # The first labels leave everything open: they would press the rest against the top.
    later = np.asarray(path.low)[len(t) // 10 :]
    low = float(np.nanmin(later)) if len(later) else 0.0
    figure.update_yaxes(**_percent_axis("agreement"), range=[max(0.0, min(low, 0.6) - 0.02), 1.0])
    figure.update_xaxes(title="labels, in draw order")
    return _finish(figure, 360)


def evidence_figure(path: GatePath, gate: Gate) -> go.Figure:
    """Evidence (e-value, log scale) of each test over labels; a test is decided above 1/alpha."""
    names = {
        "trust": (f"agreement above {gate.trust_above:.0%}", GREEN),
        "warn": (f"agreement below {gate.warn_below:.0%}", RED),
        "above_low": (f"agreement above {gate.warn_below:.0%}", BLUE),
        "below_high": (f"agreement below {gate.trust_above:.0%}", ORANGE),
    }
    figure = go.Figure()
    for test, log_e in path.log_e.items():
        label, colour = names[test]
        # A picture needs no more than 12 decades; the certificate keeps the value itself.
        decades = np.clip(np.asarray(log_e) / np.log(10), -6, 12)
        figure.add_scatter(x=list(path.t), y=decades, name=label, line={"color": colour})
    figure.add_hline(
        y=float(np.log10(1 / gate.alpha)),
        line={"dash": "dash", "color": GREY},
        annotation_text=f"decided: {1 / gate.alpha:.0f} to 1",
        annotation_position="top left",
    )
    figure.update_yaxes(title="evidence, powers of ten")
    figure.update_xaxes(title="labels, in draw order")
    return _finish(figure, 300)


def estimates_figure(
    rows: Sequence[tuple[str, Estimate | None]],
    lines: Mapping[str, float] | None = None,
    axis: str = "agreement",
    percent: bool = True,
) -> go.Figure:
    """Named estimates as points with intervals, one row each; n stands with the name.

    An undefined estimate keeps its row and says that it is not measured.
    """
    shown = [(name, value) for name, value in rows if value is not None]
    labels = [
        f"{name} (n={value.n:,})" if value is not None else f"{name} (not measured)"
        for name, value in rows
    ]
    figure = go.Figure()
    figure.add_scatter(
        x=[value.estimate for _, value in shown],
        y=[f"{name} (n={value.n:,})" for name, value in shown],
        mode="markers",
        marker={"size": 10, "color": BLUE},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [value.high - value.estimate for _, value in shown],
            "arrayminus": [value.estimate - value.low for _, value in shown],
            "color": BLUE,
        },
        showlegend=False,
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )
    for position, (name, at) in enumerate((lines or {}).items()):
        figure.add_vline(x=at, line={"dash": "dash", "color": GREY})
        # Above the rows, not among them.
        figure.add_annotation(
            x=at,
            y=1.0,
            yref="paper",
            yanchor="bottom",
            xanchor="right" if position % 2 else "left",
            text=name,
            showarrow=False,
        )
    # All rows: of itself the axis ends where the measured ones do.
    whole = [-0.6, len(labels) - 0.4]
    figure.update_yaxes(categoryorder="array", categoryarray=labels[::-1], range=whole)
    figure.update_xaxes(**(_percent_axis(axis) if percent else {"title": axis, "zeroline": True}))
    return _finish(figure, 110 + 34 * len(rows))


def confusion_figure(counts: IntArray, row_names: Sequence[str]) -> go.Figure:
    """AI label (columns) against human label (rows), in pairs. counts: shape (3, 3)."""
    figure = go.Figure(
        go.Heatmap(
            z=counts,
            x=[f"AI {name}" for name in row_names],
            y=[f"human {name}" for name in row_names],
            text=counts,
            texttemplate="%{text}",
            colorscale="Blues",
            showscale=False,
            hovertemplate="%{y}, %{x}: %{z} pairs<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed")
    return _finish(figure, 300)


def reliability_figure(bins: Sequence[tuple[float, Estimate]]) -> go.Figure:
    """How often people choose A (y) when the judge is this sure of A (x)."""
    figure = go.Figure()
    figure.add_scatter(
        x=[0.0, 1.0],
        y=[0.0, 1.0],
        mode="lines",
        line={"dash": "dash", "color": GREY},
        name="well calibrated",
    )
    figure.add_scatter(
        x=[said for said, _ in bins],
        y=[share.estimate for _, share in bins],
        mode="lines+markers",
        marker={"size": 9, "color": BLUE},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [share.high - share.estimate for _, share in bins],
            "arrayminus": [share.estimate - share.low for _, share in bins],
        },
        customdata=[share.n for _, share in bins],
        hovertemplate="judge %{x:.0%}, people %{y:.0%} (n=%{customdata})<extra></extra>",
        name="this judge",
    )
    figure.update_xaxes(**_percent_axis("the judge's probability that A is better"))
    figure.update_yaxes(**_percent_axis("people choose A"), range=[0, 1.02])
    return _finish(figure, 340)

"""A plan as a chart: one HTML file that needs no network."""

from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pipelines.agreement.plan import Plan
from pipelines.errors import BadInput
from workbench.app.charts import BLUE, DECISION_COLOUR, GREY


def plan_figure(plan: Plan) -> go.Figure:
    """How the planned round ends, above; the labels it needs, below; both by agreement."""
    names = [f"{row.theta * 100:g}%" for row in plan.rows]
    figure = make_subplots(
        rows=2,
        cols=1,
        vertical_spacing=0.16,
        subplot_titles=(
            f"How a round of {plan.n_drawn:,} of {plan.n_population:,} pairs ends",
            "Labels until then",
        ),
    )
    endings = (
        ("TRUST", [row.trust for row in plan.rows]),
        ("BETWEEN", [row.between for row in plan.rows]),
        ("WARN", [row.warn for row in plan.rows]),
        ("UNDECIDED", [row.undecided for row in plan.rows]),
    )
    for name, chances in endings:
        figure.add_bar(
            x=names,
            y=chances,
            name=name,
            text=[f"{chance:.0%}" if chance >= 0.08 else "" for chance in chances],
            textangle=0,
            marker_color=DECISION_COLOUR[name],
            hovertemplate=f"{name}: %{{y:.1%}}<extra></extra>",
            row=1,
            col=1,
        )
    hours = [row.mean_hours for row in plan.rows]
    figure.add_scatter(
        x=names,
        y=[row.mean_labels for row in plan.rows],
        customdata=hours,
        name="expected labels",
        mode="lines+markers",
        line={"color": BLUE, "width": 2},
        hovertemplate="%{y:,.0f} labels, %{customdata:.1f} hours<extra></extra>",
        row=2,
        col=1,
    )
    figure.add_scatter(
        x=names,
        y=[row.p90_labels for row in plan.rows],
        name="90% of rounds end by",
        mode="lines+markers",
        line={"color": GREY, "dash": "dot"},
        hovertemplate="%{y:,} labels<extra></extra>",
        row=2,
        col=1,
    )
    figure.update_xaxes(title="share of labels that people agree with", type="category")
    figure.update_yaxes(title="probability", tickformat=".0%", range=[0, 1], row=1, col=1)
    figure.update_yaxes(title="labels", rangemode="tozero", row=2, col=1)
    figure.update_layout(
        barmode="stack",
        template="plotly_white",
        height=760,
        margin={"l": 60, "r": 20, "t": 60, "b": 50},
        legend={"orientation": "h", "y": -0.12},
    )
    return figure


def write_chart(plan: Plan, path: Path) -> None:
    """Write the chart as one self-contained HTML file.

    Raises:
        BadInput: The file cannot be written.
    """
    html = plan_figure(plan).to_html(include_plotlyjs=True, config={"displaylogo": False})
    try:
        path.write_text(html, encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"{path}: the chart cannot be written ({error.strerror}); choose another file"
        ) from error

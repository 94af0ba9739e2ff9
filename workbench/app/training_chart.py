"""Training curves as Plotly figures: no Streamlit, no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pipelines.agreement.estimate import Estimate
from workbench.app.charts import BLUE, GREEN, GREY, LEGEND, ORANGE, RED
from workbench.app.words import for_chart

# Colour, sign and dash: each run can be told apart without seeing colours.
_LOOKS = (
    (BLUE, "circle", "solid"),
    (RED, "square", "dash"),
    (GREEN, "diamond", "dashdot"),
    (ORANGE, "triangle-up", "longdash"),
    ("#CC79A7", "x", "dot"),
    ("#56B4E9", "star", "solid"),
)
MOST_RUNS = len(_LOOKS)
_FEW = 12  # points up to which each is marked: a line of one point is not seen


@dataclass(frozen=True)
class Metric:
    """One chart: what it is called, where it stands in the curves, and what it tells.

    `looks` are figures of rows that nothing is trained on, or ("seen_...") of a look at training
    prompts, where the data hold none out.
    """

    title: str
    names: tuple[str, ...]
    looks: tuple[str, ...]
    told: str
    percent: bool = False


METRICS = (
    Metric(
        "Reward",
        ("reward",),
        ("held_out_reward", "seen_reward"),
        "Mean reward over steps. It is what the training raises, not what people think.",
    ),
    Metric(
        "Win rate by the held-out judge",
        (),
        ("held_out_win_rate", "seen_win_rate"),
        "Share of the watched prompts on which a judge that gives no reward prefers the policy's "
        "answer to that of the model it started from; ties count half.",
        percent=True,
    ),
    Metric(
        "Loss",
        ("loss",),
        ("held_out_loss",),
        "Loss over steps. When it rises on held-out rows while it falls on those trained on, the "
        "model learns them by heart.",
    ),
    Metric(
        "Accuracy",
        ("accuracy", "mean_token_accuracy"),
        ("held_out_accuracy", "held_out_mean_token_accuracy"),
        "Share of pairs in which the model puts the chosen response first; for SFT, of tokens that "
        "it would have written.",
        percent=True,
    ),
    Metric(
        "Margin",
        ("margin",),
        ("held_out_margin",),
        "How far the chosen response is above the rejected one, in units of the reward.",
    ),
    Metric(
        "KL divergence",
        ("kl",),
        ("held_out_kl",),
        "How far the policy is from the model that it started from.",
    ),
    Metric(
        "Length",
        ("length",),
        ("held_out_length", "seen_length"),
        "Mean length of the responses, in tokens. A reward model that likes length shows here.",
    ),
    Metric(
        "Entropy",
        ("entropy",),
        ("held_out_entropy",),
        "Uncertainty about the next token, in nats. Near 0 the policy says the same every time.",
    ),
    Metric(
        "Violation rate",
        ("violation_rate",),
        (),
        "Share of responses that break the rule; the dashed line is the bound that was set.",
        percent=True,
    ),
    Metric(
        "Price of a violation",
        ("multiplier",),
        (),
        "The Lagrange multiplier: it rises while the violation rate is above its bound.",
    ),
    Metric(
        "Repetition",
        ("repetition",),
        ("held_out_repetition", "seen_repetition"),
        "Share of the responses' word sequences that come again. It rises when a policy games its "
        "reward.",
        percent=True,
    ),
    Metric(
        "Policy loss",
        ("policy_loss",),
        (),
        "What each step lowers. It moves about zero and tells little: go by reward and win rate.",
    ),
    Metric(
        "Gradient norm",
        ("gradient_norm",),
        (),
        "Length of the gradient before it is clipped. Spikes say that the learning rate is high.",
    ),
)


@dataclass(frozen=True)
class Line:
    """One run's values of one metric.

    Attributes:
        run: Its name.
        place: The run's, so that its colour and sign stay the same.
        steps: Or whatever it is drawn over.
        values: As many.
        of: What was looked at: "held out" or "training prompts"; "" for batches of training.
    """

    run: str
    place: int
    steps: Sequence[float]
    values: Sequence[float]
    of: str = ""


def curve_figure(metric: Metric, lines: Sequence[Line], bound: float | None = None) -> go.Figure:
    """Values over steps, a line for each run; those of looks are marked and thin.

    The legend names each run once: on a phone two names a run would leave no room for the curves.

    Args:
        metric: What is shown.
        lines: Of the runs that have it.
        bound: A value that was not to be exceeded.
    """
    figure = go.Figure()
    named: set[int] = set()
    for line in lines:
        colour, symbol, dash = _LOOKS[line.place % len(_LOOKS)]
        marked = bool(line.of) or len(line.steps) <= _FEW
        run = for_chart(line.run, 30)
        name = run + (f", {line.of}" if line.of else "")
        figure.add_scatter(
            x=list(line.steps),
            y=list(line.values),
            name=run,
            legendgroup=run,
            showlegend=line.place not in named,
            mode="lines+markers" if marked else "lines",
            line={
                "color": colour,
                "dash": "dot" if line.of else dash,
                "width": 1.5 if line.of else 2,
            },
            marker={"symbol": f"{symbol}-open" if line.of else symbol, "size": 8},
            hovertemplate=f"{name}, step %{{x}}: %{{y:{'.1%' if metric.percent else '.4g'}}}"
            "<extra></extra>",
        )
        named.add(line.place)
    if bound is not None:
        figure.add_hline(
            y=bound, line={"dash": "dash", "color": GREY}, annotation_text=f"bound {bound:.0%}"
        )
    _dress(figure, metric.title.lower(), "steps", 300)
    if metric.percent:
        figure.update_yaxes(tickformat=".1~%")  # a share of repetitions is often below 1%
    return figure


def hacking_figure(runs: Sequence[tuple[Line, Line]]) -> go.Figure:
    """Reward above the held-out judge's score, both over KL: where they part, it is gamed.

    A run's looks are joined in their order, thinly, and the last is large: KL goes to and fro.

    Args:
        runs: Of each run the reward and the score; `steps` are values of KL.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.07)
    for run in runs:
        for row, (line, what) in enumerate(zip(run, ("reward", "win rate"), strict=True), start=1):
            colour, symbol, _ = _LOOKS[line.place % len(_LOOKS)]
            name = for_chart(line.run, 30)
            figure.add_scatter(
                x=list(line.steps),
                y=list(line.values),
                row=row,
                col=1,
                name=name,
                legendgroup=name,
                showlegend=row == 1,
                mode="lines+markers",
                line={"color": colour, "width": 1, "dash": "dot"},
                marker={"symbol": symbol, "size": [7] * (len(line.steps) - 1) + [13]},
                hovertemplate=f"{name}, KL %{{x:.2f}}: {what} %{{y:.3f}}<extra></extra>",
            )
    _dress(figure, "reward", "", 440)
    figure.update_yaxes(title="win rate", tickformat=".0%", row=2, col=1)
    figure.update_xaxes(title="KL divergence from the start", row=2, col=1)
    return figure


def growth_figure(runs: Sequence[tuple[str, int, Sequence[tuple[float, Estimate]]]]) -> go.Figure:
    """Accuracy on held-out human labels over the number of training pairs, with intervals.

    Args:
        runs: Name, place, and (pairs, accuracy) of each run that has a learning curve.
    """
    figure = go.Figure()
    for name, place, curve in runs:
        colour, symbol, dash = _LOOKS[place % len(_LOOKS)]
        figure.add_scatter(
            x=[n for n, _ in curve],
            y=[value.estimate for _, value in curve],
            name=for_chart(name, 30),
            mode="lines+markers",
            line={"color": colour, "dash": dash, "width": 2},
            marker={"symbol": symbol, "size": 8},
            error_y=_bars([value for _, value in curve], colour),
            customdata=[(value.low, value.high, value.n) for _, value in curve],
            hovertemplate=(
                "%{x} pairs: %{y:.1%} (%{customdata[0]:.1%} to %{customdata[1]:.1%}, "
                "n=%{customdata[2]})"
            ),
        )
    _dress(figure, "accuracy", "training pairs", 320)
    figure.update_yaxes(tickformat=".0%")
    return figure


def confidence_figure(
    runs: Sequence[tuple[str, int, Sequence[tuple[float, Estimate]]]],
) -> go.Figure:
    """How often a reward model is right (y) when it is this sure (x), with intervals."""
    figure = go.Figure()
    figure.add_scatter(
        x=[0.5, 1.0], y=[0.5, 1.0], mode="lines", line={"dash": "dash", "color": GREY},
        name="well calibrated",
    )  # fmt: skip
    for name, place, bins in runs:
        colour, symbol, dash = _LOOKS[place % len(_LOOKS)]
        figure.add_scatter(
            x=[said for said, _ in bins],
            y=[share.estimate for _, share in bins],
            name=for_chart(name, 30),
            mode="lines+markers",
            line={"color": colour, "dash": dash, "width": 2},
            marker={"symbol": symbol, "size": 8},
            error_y=_bars([share for _, share in bins], colour),
            customdata=[share.n for _, share in bins],
            hovertemplate="sure %{x:.0%}, right %{y:.0%} (n=%{customdata})<extra></extra>",
        )
    _dress(figure, "right", "how sure it is", 320)
    figure.update_xaxes(tickformat=".0%")
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    return figure


def _bars(values: Sequence[Estimate], colour: str) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [value.high - value.estimate for value in values],
        "arrayminus": [value.estimate - value.low for value in values],
        "color": colour,
        "thickness": 1.2,
    }


def _dress(figure: go.Figure, y: str, x: str, height: int) -> None:
    figure.update_xaxes(title=x, zeroline=False)
    figure.update_yaxes(title=y, zeroline=False)
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 30, "b": 10},
        legend=LEGEND,
        showlegend=True,
        hovermode="closest",
    )

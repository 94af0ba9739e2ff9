"""Mode rating: each response is scored alone, on each criterion; the label follows from the scores.

As UltraFeedback does (Cui et al. 2023, arXiv:2310.01377). A judge that never sees the two together
cannot prefer a position, so there is one judgment for a pair and no order.
"""

import json
from collections import Counter

from pipelines.judge.asking import (
    FORM_TOKENS,
    RATIONALE_TOKENS,
    Asking,
    Form,
    Step,
    ask_form,
    together,
)
from pipelines.judge.parse import parse_rating
from pipelines.judge.question import fill, rating_values, response_text
from pipelines.judge.template_file import Criterion
from pipelines.records import Judgment, Label, PreferencePair

# Means of the same ratings differ in their last bits; labels must not.
_ROUNDING = 1e-9


def rate_pair(asking: Asking, pair: PreferencePair) -> Step[Judgment]:
    """Both responses on all criteria of weight. One rating that is missing fails the judgment.

    `raw` keeps all as JSON: `{"ratings": [{"criterion", "weight", "a", "b"}], "a", "b"}`, where the
    last two are the weighted means.
    """
    spec, parts = asking.spec, asking.template.parts
    weights = criterion_weights(asking)
    criteria = [criterion for criterion in asking.template.criteria if weights[criterion.name] > 0]
    ratings = yield from together(
        [
            ask_rating(asking, response_text(parts, pair.prompt, response), criterion)
            for criterion in criteria
            for response in (pair.response_a, pair.response_b)
        ]
    )
    by_criterion = list(zip(criteria, ratings[::2], ratings[1::2], strict=True))
    raw: dict[str, object] = {
        "ratings": [
            {"criterion": one.name, "weight": weights[one.name], "a": _kept(a), "b": _kept(b)}
            for one, a, b in by_criterion
        ]
    }
    failures = Counter(rating.failure for rating in ratings if rating.failure is not None)
    if failures:
        return Judgment(judge=spec.name, failure=failures.most_common(1)[0][0], raw=_json(raw))
    total = sum(weights[one.name] for one in criteria)
    mean_a = sum(weights[one.name] * (a.value or 0) for one, a, _ in by_criterion) / total
    mean_b = sum(weights[one.name] * (b.value or 0) for one, _, b in by_criterion) / total
    raw |= {"a": round(mean_a, 6), "b": round(mean_b, 6)}
    label = label_from_scores(mean_a, mean_b, spec.tie_margin)
    return Judgment(judge=spec.name, label=label, raw=_json(raw))


def scores_said(raw: str | None) -> tuple[float, float] | None:
    """The mean ratings of both responses in a judgment of mode rating; None in any other."""
    if raw is None or not raw.startswith('{"ratings"'):
        return None
    try:
        told = json.loads(raw)
        return float(told["a"]), float(told["b"])
    except (ValueError, TypeError, KeyError):  # cut short, or a rating failed
        return None


def label_from_scores(score_a: float, score_b: float, tie_margin: float) -> Label:
    """The greater score wins, unless they are at most `tie_margin` apart."""
    gap = score_a - score_b
    if abs(gap) <= tie_margin + _ROUNDING:
        return "tie"
    return "A" if gap > 0 else "B"


def criterion_weights(asking: Asking) -> dict[str, float]:
    """What each criterion counts for, by name; 0 is not asked about."""
    return {one.name: asking.spec.weights.get(one.name, 1.0) for one in asking.template.criteria}


def ask_rating(asking: Asking, shown: str, criterion: Criterion) -> Step[Form[int]]:
    """One response's rating on one criterion; asked again once where it cannot be read."""
    spec, ending = asking.spec, asking.template.parts.ending
    values = rating_values(criterion, spec.scale)
    part = ending.rating_with_rationale if spec.rationale else ending.rating
    n_tokens = FORM_TOKENS + (RATIONALE_TOKENS if spec.rationale else 0)
    return (
        yield from ask_form(
            asking,
            asking.text(asking.opening(shown, fill(part, values)), n_tokens),
            lambda text: parse_rating(text, 1, spec.scale),
            fill(ending.rating_repair, values),
        )
    )


def _kept(rating: Form[int]) -> int | dict[str, str | None] | None:
    if rating.failure is not None:
        return {"failure": rating.failure, "said": rating.said}
    return rating.value


def _json(raw: dict[str, object]) -> str:
    return json.dumps(raw, ensure_ascii=False)

"""PPI++: published code, the slow definition, properties, coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.agreement.annotations import FloatArray
from pipelines.agreement.ppi import corrected_mean
from pipelines.errors import BadInput, Undefined

Y = np.array([1, 0, 1, 1, 0, 1, 0, 1.0])
F = np.array([0.9, 0.2, 0.7, 0.6, 0.4, 0.8, 0.3, 0.4])
REST = np.array([0.8, 0.7, 0.9, 0.3, 0.6, 0.2, 0.9, 0.75, 0.4, 0.65, 0.55, 0.85])


def mixed() -> tuple[FloatArray, FloatArray]:
    return np.concatenate([F, REST]), np.concatenate([Y, np.full(12, np.nan)])


@pytest.mark.parametrize(
    ("weight", "expected"), [(0.0, 0.625), (0.5, 0.67291667), (1.0, 0.72083333)]
)
def test_the_mean_is_that_of_the_authors_code(weight: float, expected: float) -> None:
    # ppi_py 0.2.3, ppi_mean_pointestimate(Y, F, REST, lam=weight)
    found, _ = corrected_mean(*mixed(), np.arange(20), weight=weight)
    assert found.corrected.estimate == pytest.approx(expected, abs=1e-8)


def test_by_hand_the_judge_is_shifted_by_what_it_errs() -> None:
    # lambda = 1: mean of the others 0.6333 plus mean of y - f, (5 - 4.3) / 8
    found, _ = corrected_mean(*mixed(), np.arange(20), weight=1.0)
    assert found.corrected.estimate == pytest.approx(7.6 / 12 + (5 - 4.3) / 8)
    assert found.excess.estimate == pytest.approx((4.3 - 5) / 8)
    assert (found.n_labelled, found.corrected.n, found.excess.n) == (8, 20, 8)


def test_the_tuned_weight_is_that_of_least_variance_on_a_grid() -> None:
    rng = np.random.default_rng(3)
    human, judge, prompt = world(rng, 120, 40, 0.6, 0.75)
    tuned, _ = corrected_mean(judge, human, prompt)
    errors = {
        weight: corrected_mean(judge, human, prompt, weight=weight)[0].error
        for weight in np.linspace(0.0, 1.0, 201).tolist()
    }
    best = min(errors, key=lambda weight: errors[weight])
    assert 0.05 < tuned.weight < 0.95
    assert tuned.weight == pytest.approx(best, abs=0.006)


def test_the_variance_is_the_slow_definition() -> None:
    rng = np.random.default_rng(5)
    human, judge, _ = world(rng, 60, 25, 0.6, 0.8)
    prompt = rng.integers(0, 30, 60)  # prompts come several times, on both sides
    found, influence = corrected_mean(judge, human, prompt, weight=0.5)
    labelled = ~np.isnan(human)
    n, n_rest = int(labelled.sum()), int((~labelled).sum())
    residual = human[labelled] - 0.5 * judge[labelled]
    total = 0.0
    for code in set(prompt.tolist()):
        here = 0.0
        for k in np.flatnonzero(prompt == code):
            if labelled[k]:
                here += (human[k] - 0.5 * judge[k] - residual.mean()) / n
            else:
                here += 0.5 * (judge[k] - judge[~labelled].mean()) / n_rest
        total += here**2
    g = len(set(prompt[labelled].tolist()))
    assert found.error**2 == pytest.approx(total * g / (g - 1) + 2 * 0.25 / n**2)
    assert influence.sum() == pytest.approx(0.0, abs=1e-12)


@given(st.integers(0, 1000))
def test_exchanging_the_policies_mirrors_everything(seed: int) -> None:
    human, judge, prompt = world(np.random.default_rng(seed), 40, 15, 0.6, 0.8)
    one, _ = corrected_mean(judge, human, prompt)
    other, _ = corrected_mean(1.0 - judge, 1.0 - human, prompt)
    assert one.corrected.estimate == pytest.approx(1.0 - other.corrected.estimate)
    assert one.corrected.low == pytest.approx(1.0 - other.corrected.high)
    assert one.weight == pytest.approx(other.weight)
    assert one.p_value == pytest.approx(other.p_value)


def test_a_judge_that_says_always_the_same_leaves_people_alone() -> None:
    human, judge, prompt = world(np.random.default_rng(1), 50, 20, 0.6, 0.8)
    found, _ = corrected_mean(np.full_like(judge, 0.8), human, prompt)
    assert found.weight == 0.0
    assert found.gain == 1.0
    assert found.corrected.estimate == pytest.approx(np.nanmean(human))


def test_with_everything_labelled_it_is_the_peoples_mean() -> None:
    found, _ = corrected_mean(F, Y, np.arange(8))
    assert found.corrected.estimate == pytest.approx(Y.mean())


def test_few_labels_that_all_agree_do_not_make_certain() -> None:
    judge = np.ones(200)
    human = np.where(np.arange(200) < 5, 1.0, np.nan)
    found, _ = corrected_mean(judge, human, np.arange(200))
    assert found.corrected.low < 0.8


def test_too_little_or_wrong_data_is_said() -> None:
    nothing = np.full(5, np.nan)
    with pytest.raises(Undefined, match="at least two prompts"):
        corrected_mean(np.ones(5), nothing, np.arange(5))
    with pytest.raises(Undefined, match="at least two prompts"):
        corrected_mean(np.ones(5), np.ones(5), np.zeros(5, dtype=int))
    with pytest.raises(BadInput, match=r"outside 0\.\.1"):
        corrected_mean(np.full(5, 1.5), nothing, np.arange(5))
    with pytest.raises(BadInput, match="equal lengths"):
        corrected_mean(np.ones(5), nothing, np.arange(4))


def world(
    rng: np.random.Generator, n: int, n_labelled: int, rate: float, accuracy: float,
    favour: float = 0.0, settled: float = 0.0,
) -> tuple[FloatArray, FloatArray, np.ndarray]:  # fmt: skip
    """People's scores on a random part, a judge's on all, and prompts."""
    truth = (rng.random(n) < rate).astype(float)
    said = np.where(rng.random(n) < accuracy, truth, 1.0 - truth)
    said = np.where(rng.random(n) < favour, 1.0, said)
    soft = np.where(said == 1.0, rng.uniform(0.55, 1.0, n), rng.uniform(0.0, 0.45, n))
    same = rng.random(n) < settled
    soft[same] = truth[same] = 0.5
    human = np.full(n, np.nan)
    drawn = rng.choice(np.flatnonzero(~same), n_labelled, replace=False)
    human[drawn] = truth[drawn]
    return human, soft, np.arange(n)


@pytest.mark.parametrize(
    ("n_labelled", "rate", "accuracy", "favour"),
    [(20, 0.5, 0.85, 0.2), (40, 0.7, 0.95, 0.0), (60, 0.9, 0.9, 0.1), (150, 0.6, 0.8, 0.3)],
)
def test_the_interval_covers_what_people_would_say(
    n_labelled: int, rate: float, accuracy: float, favour: float
) -> None:
    rng = np.random.default_rng(11)
    covered = judge_covered = 0
    for _ in range(500):
        human, judge, prompt = world(rng, 300, n_labelled, rate, accuracy, favour)
        found, _ = corrected_mean(judge, human, prompt)
        covered += found.corrected.low <= rate <= found.corrected.high
        judge_covered += found.judge.low <= rate <= found.judge.high
    # 95% of 500, less three standard errors of a count
    assert covered >= 500 * 0.95 - 3 * (500 * 0.95 * 0.05) ** 0.5
    if favour:
        assert judge_covered < covered


def test_it_covers_where_some_pairs_tie_by_definition() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        same = np.zeros(200, dtype=bool)
        human, judge, prompt = world(rng, 200, 50, 0.7, 0.85, 0.1, settled=0.25)
        same = judge == 0.5
        found, _ = corrected_mean(judge, human, prompt, settled=same)
        covered += found.corrected.low <= 0.75 * 0.7 + 0.25 * 0.5 <= found.corrected.high
    assert covered >= 400 * 0.95 - 3 * (400 * 0.95 * 0.05) ** 0.5

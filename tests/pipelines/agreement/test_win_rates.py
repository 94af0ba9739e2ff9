"""Win rates, win rates at equal length and Bradley-Terry: by hand, against libraries, coverage."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.optimize import minimize

from pipelines.agreement.bradley_terry import Matchup, bradley_terry
from pipelines.agreement.length_controlled import length_controlled
from pipelines.agreement.win_rate import detectable, length_points, win_rate
from pipelines.errors import BadInput, Undefined


def test_a_win_rate_by_hand() -> None:
    # 5 wins, 2 ties, 3 losses: raw 5/10, ties half 6/10; the exact test is 5 of 8 fair coins
    found = win_rate(np.array([1, 1, 1, 1, 1, 0.5, 0.5, 0, 0, 0]), np.arange(10))
    assert (found.wins, found.ties, found.losses, found.n) == (5, 2, 3, 10)
    assert found.raw.estimate == 0.5
    assert found.tie_aware.estimate == pytest.approx(0.6)
    assert found.p_value == pytest.approx(stats.binomtest(5, 8).pvalue)
    # eight wins or losses of spread 1/2: their root over ten pairs
    assert found.detectable == pytest.approx(
        (1.959964 + 0.841621) * math.sqrt(8 / 4) / 10, rel=1e-5
    )


def test_pairs_of_a_prompt_change_sides_together() -> None:
    score = np.array([1.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    apart = win_rate(score, np.arange(6))
    together = win_rate(score, np.array([0, 0, 0, 1, 2, 2]))
    assert together.p_value > apart.p_value
    assert together.tie_aware.low < apart.tie_aware.low


def test_wrong_scores_are_said() -> None:
    with pytest.raises(BadInput, match="0, 1/2 or 1"):
        win_rate(np.array([0.7]), np.arange(1))
    with pytest.raises(BadInput, match="equal lengths"):
        win_rate(np.array([1.0]), np.arange(2))
    with pytest.raises(Undefined, match="no pairs"):
        win_rate(np.array([]), np.arange(0))


def test_win_rates_cover_and_the_test_keeps_its_level_and_power() -> None:
    rng = np.random.default_rng(0)
    covered = false = shown = 0
    least = detectable(math.sqrt(0.75) / 2.0 / math.sqrt(150))
    for _ in range(500):
        alike = rng.choice([1.0, 0.5, 0.0], 150, p=[0.375, 0.25, 0.375])
        false += win_rate(alike, np.arange(150)).p_value < 0.05
        apart = [0.375 + least, 0.25, 0.375 - least]
        found = win_rate(rng.choice([1.0, 0.5, 0.0], 150, p=apart), np.arange(150))
        shown += found.p_value < 0.05
        covered += found.tie_aware.low <= 0.5 + least <= found.tie_aware.high
    assert covered >= 500 * 0.95 - 3 * math.sqrt(500 * 0.95 * 0.05)
    assert false <= 500 * 0.05 + 3 * math.sqrt(500 * 0.95 * 0.05)
    assert 0.70 <= shown / 500 <= 0.90  # 80% by the normal approximation; the test is exact


def lengths(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(60, 400, n), rng.integers(40, 300, n)


def test_the_fit_is_that_of_statsmodels_with_clustered_errors() -> None:
    rng = np.random.default_rng(4)
    first, second = lengths(rng, 90)
    score, prompt = rng.random(90), rng.integers(0, 40, 90)
    found = length_controlled(score, first, second, prompt)
    design = sm.add_constant(length_points(first, second))
    model = sm.GLM(score, design, family=sm.families.Binomial())
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": prompt, "use_correction": False})
    assert found.slope.estimate == pytest.approx(fit.params[1], rel=1e-6)
    assert found.win_rate.estimate == pytest.approx(1 / (1 + math.exp(-fit.params[0])), rel=1e-6)
    g = len(set(prompt.tolist()))
    reach = stats.t.ppf(0.975, g - 1) * fit.bse[1] * math.sqrt(g / (g - 1))
    assert found.slope.high - found.slope.estimate == pytest.approx(reach, rel=1e-6)


def test_exchanging_the_policies_mirrors_the_rate_at_equal_length() -> None:
    rng = np.random.default_rng(6)
    first, second = lengths(rng, 60)
    score = rng.choice([1.0, 0.5, 0.0], 60)
    one = length_controlled(score, first, second, np.arange(60)).win_rate
    other = length_controlled(1.0 - score, second, first, np.arange(60)).win_rate
    assert one.estimate == pytest.approx(1.0 - other.estimate)
    assert one.low == pytest.approx(1.0 - other.high)


def test_where_length_says_nothing_the_rate_is_the_mean() -> None:
    # the same scores at +10 and at -10 characters: the slope is 0
    score = np.array([1.0, 0.0, 1.0, 1.0] * 2)
    first = np.array([110] * 4 + [90] * 4)
    found = length_controlled(score, first, np.full(8, 100), np.arange(8))
    assert found.slope.estimate == pytest.approx(0.0, abs=1e-9)
    assert found.win_rate.estimate == pytest.approx(0.75)


def test_a_policy_that_only_writes_more_wins_nothing_at_equal_length() -> None:
    rng = np.random.default_rng(8)
    covered = raw_covered = 0
    for _ in range(400):
        first, second = rng.integers(150, 400, 150), rng.integers(50, 300, 150)
        chance = 1.0 / (1.0 + np.exp(-1.5 * length_points(first, second)))
        score = (rng.random(150) < chance).astype(float)
        found = length_controlled(score, first, second, np.arange(150)).win_rate
        covered += found.low <= 0.5 <= found.high
        raw = win_rate(score, np.arange(150)).tie_aware
        raw_covered += raw.low <= 0.5 <= raw.high
    assert covered >= 400 * 0.95 - 3 * math.sqrt(400 * 0.95 * 0.05)
    assert raw_covered < 40


@pytest.mark.parametrize(
    ("score", "first", "words"),
    [
        ([1.0, 1.0, 1.0, 1.0], [1, 2, 3, 4], "won every pair"),
        ([1.0, 0.0, 1.0, 0.0], [9, 9, 9, 9], "equal length"),
        ([1.0, 0.0, 1.0, 0.0], [12, 12, 12, 12], "by the same"),
        ([1.0, 0.0, 1.0, 0.0], [19, 2, 15, 1], "settles every label"),
        ([0.5, 0.5, 0.5, 0.5], [19, 2, 15, 1], "every pair has the same score"),
    ],
)
def test_what_cannot_be_told_is_undefined(score: list[float], first: list[int], words: str) -> None:
    with pytest.raises(Undefined, match=words):
        length_controlled(np.array(score), np.array(first), np.full(4, 9), np.arange(4))


# Wins of the row over the column, American League East 1987 (Agresti, Categorical Data Analysis;
# fitted in Turner and Firth 2012, doi:10.18637/jss.v048.i09, without home advantage).
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
WINS = np.array(
    [
        [0, 7, 9, 7, 7, 9, 11],
        [6, 0, 7, 5, 11, 9, 9],
        [4, 6, 0, 7, 7, 8, 12],
        [6, 8, 6, 0, 6, 7, 10],
        [6, 2, 6, 7, 0, 7, 12],
        [4, 4, 5, 6, 6, 0, 6],
        [2, 4, 1, 3, 1, 7, 0],
    ]
)
ABILITIES = (1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0.0)


def test_the_baseball_teams_have_their_published_strengths() -> None:
    matchups, games = [], 0
    n_games = int(WINS.sum())
    for i in range(7):
        for j in range(i + 1, 7):
            score = np.repeat([1.0, 0.0], [WINS[i, j], WINS[j, i]])
            prompt = games + np.arange(len(score))
            matchups.append(Matchup.of_scores(i, j, score, prompt, n_games))
            games += len(score)
    found = bradley_terry(7, matchups)
    strength = np.array([one.estimate for one in found.log_odds])
    assert strength - strength[-1] == pytest.approx(ABILITIES, abs=6e-5)
    assert strength.sum() == pytest.approx(0.0, abs=1e-9)
    assert all(one.low < one.estimate < one.high for one in found.log_odds)


def test_strengths_are_those_of_a_direct_maximisation() -> None:
    rng = np.random.default_rng(1)
    matchups = [
        Matchup.of_scores(i, j, rng.choice([1.0, 0.5, 0.0], 50), np.arange(50), 50)
        for i, j in ((0, 1), (2, 0), (2, 1), (3, 1))
    ]

    def loss(s: np.ndarray) -> float:
        gaps = [(one, s[one.first] - s[one.second]) for one in matchups]
        return sum(
            one.n * (one.rate * np.logaddexp(0, -gap) + (1 - one.rate) * np.logaddexp(0, gap))
            for one, gap in gaps
        )

    best = minimize(loss, np.zeros(4), tol=1e-12).x
    found = [one.estimate for one in bradley_terry(4, matchups).log_odds]
    assert found == pytest.approx(best - best.mean(), abs=1e-4)


def test_strengths_cover_also_where_prompts_are_shared() -> None:
    rng = np.random.default_rng(7)
    truth = np.array([0.6, 0.0, -0.6])
    covered = 0
    for _ in range(400):
        matchups = []
        luck = rng.random(80)  # of a prompt, shared by all who answer it
        for i, j in ((1, 0), (2, 0), (2, 1)):
            chance = 1.0 / (1.0 + math.exp(truth[j] - truth[i]))
            score = (np.where(rng.random(80) < 0.5, luck, rng.random(80)) < chance).astype(float)
            matchups.append(Matchup.of_scores(i, j, score, np.arange(80), 80))
        found = bradley_terry(3, matchups)
        covered += sum(e.low <= t <= e.high for e, t in zip(found.log_odds, truth, strict=True))
    # three dependent intervals a round: the count's error is at most three times that of 400
    assert covered / 1200 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400)


def test_a_policy_that_lost_everything_has_no_finite_strength() -> None:
    won = Matchup.of_scores(0, 1, np.ones(5), np.arange(5), 5)
    with pytest.raises(Undefined, match="no finite strength"):
        bradley_terry(2, [won])
    with pytest.raises(Undefined, match="no two policies met"):
        bradley_terry(2, [])
    with pytest.raises(BadInput, match="not there"):
        bradley_terry(1, [won])

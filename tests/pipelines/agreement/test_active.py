from itertools import permutations

import numpy as np
import pytest
from scipy.special import expit

from pipelines.agreement.active import (
    PRIOR,
    ConfidenceGroups,
    StageFit,
    draw_stage,
    fit_stage,
    group_by_confidence,
    next_stage_size,
    ridge_platt,
    stage_sizes,
    stage_weights,
)
from pipelines.agreement.active_bets import StageDraws, Wealth
from pipelines.agreement.active_gate import active_path, read_active_gate
from pipelines.agreement.gate import AGREE, DISAGREE, HUMAN_TIE, UNANSWERED, Gate
from pipelines.errors import BadInput

LINE = Gate(0.80, 0.80, ties="strict")


def population(n, seed, tie_share=0.0, slope=1.7, theta_logit=2.4):
    rng = np.random.default_rng(seed)
    score = rng.standard_normal(n)
    codes = (rng.random(n) < expit(theta_logit + slope * score)).astype(int)
    codes[rng.random(n) < tie_share] = HUMAN_TIE
    return group_by_confidence(score), codes


def run_round(groups, codes, n_draw, seed=0):
    stages, read = [], np.zeros(0, dtype=int)
    for size in stage_sizes(n_draw):
        stage = draw_stage(groups, fit_stage(groups, stages, read), stages, size, seed)
        stages.append(stage)
        read = np.concatenate([read, codes[stage.index]])
    return stages, read


def test_groups_follow_the_rank_of_the_confidence_not_its_value():
    confidence = np.random.default_rng(1).random(2_000)
    groups = group_by_confidence(confidence)
    assert (len(groups.size), groups.size.tolist()) == (100, [20] * 100)
    assert np.all(np.diff(groups.score) > 0)
    np.testing.assert_array_equal(groups.member, group_by_confidence(confidence**7).member)
    assert groups.member[np.argmin(confidence)] == 0
    # Rank k of 100 groups has the normal score of (k + 1/2) / 100: symmetric about 0
    np.testing.assert_allclose(groups.score, -groups.score[::-1], atol=1e-9)


def test_equal_confidence_shares_a_group_and_no_confidence_has_its_own():
    groups = group_by_confidence([0.9, 0.9, 0.9, 0.5, np.nan, np.nan])
    assert groups.member.tolist() == [1, 1, 1, 0, 2, 2]
    assert groups.score[2] == 0.0
    assert group_by_confidence([np.nan] * 3).size.tolist() == [3]
    assert group_by_confidence([0.7] * 5).score.tolist() == [0.0]
    with pytest.raises(BadInput, match="empty"):
        group_by_confidence([])


def test_stages_double():
    assert stage_sizes(1_000) == (60, 60, 120, 240, 480, 40)
    assert stage_sizes(45) == (45,)
    assert stage_sizes(0) == ()
    assert next_stage_size(1_000, 1_500) == 500


def test_the_fit_before_any_label_is_the_prior_and_then_learns():
    groups, codes = population(5_000, seed=3)
    first = fit_stage(groups, [], [])
    assert (first.intercept, first.slope, first.tie_share, first.n_labels) == (*PRIOR, 0.0, 0)
    stages, read = run_round(groups, codes, 1_920)
    late = fit_stage(groups, stages, read)
    assert late.n_labels == 1_920
    assert late.slope == pytest.approx(1.7, abs=0.35)
    reversed_groups, _ = population(5_000, seed=3, slope=1.7)
    flipped = ConfidenceGroups(
        -reversed_groups.score[::-1], reversed_groups.size, 99 - reversed_groups.member
    )
    stages, read = run_round(flipped, codes, 1_920)
    assert fit_stage(flipped, stages, read).slope < -1.0


def test_the_fit_maximises_what_it_says():
    score = np.linspace(-2, 2, 9)
    wins, losses = np.array([1, 0, 2, 5, 9, 8, 7, 9, 4]), np.array([4, 3, 3, 2, 2, 1, 0, 1, 0])

    def loss(a, b):
        linear = a + b * score
        fit = np.sum((wins + losses) * np.logaddexp(0, linear) - wins * linear)
        return fit + 0.25 * (a - PRIOR[0]) ** 2 + 1.0 * (b - PRIOR[1]) ** 2

    best = ridge_platt(score, wins, losses)
    for nudge in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        assert loss(best[0] + nudge[0], best[1] + nudge[1]) > loss(*best)
    # Perfectly separated counts stay finite
    assert np.isfinite(ridge_platt(score, 1_000 * (score > 0), 1_000 * (score <= 0))).all()


def test_a_draw_is_replayed_from_its_seed_and_takes_no_pair_twice():
    groups, codes = population(3_000, seed=5)
    stages, _ = run_round(groups, codes, 700, seed=17)
    again, _ = run_round(groups, codes, 700, seed=17)
    other, _ = run_round(groups, codes, 700, seed=18)
    index = np.concatenate([stage.index for stage in stages])
    assert len(np.unique(index)) == 700
    np.testing.assert_array_equal(index, np.concatenate([stage.index for stage in again]))
    assert not np.array_equal(index, np.concatenate([stage.index for stage in other]))
    for stage in stages:
        np.testing.assert_array_equal(stage.group, groups.member[stage.index])


def test_the_draw_is_the_one_this_seed_has_always_given():
    # A certificate of today must replay tomorrow: a change here breaks every recorded round.
    groups = group_by_confidence(np.arange(50) / 50)
    stage = draw_stage(groups, fit_stage(groups, [], []), [], 8, seed=2026)
    assert stage.index.tolist() == [10, 35, 11, 6, 38, 31, 15, 5]


def test_a_stage_may_take_everything_that_is_left_and_no_more():
    groups, codes = population(90, seed=6)
    stages, read = run_round(groups, codes, 90)
    assert [len(stage.index) for stage in stages] == [60, 30]
    with pytest.raises(BadInput, match="only 0 are left"):
        draw_stage(groups, fit_stage(groups, stages, read), stages, 1, 0)
    with pytest.raises(BadInput, match="answered or given up"):
        fit_stage(groups, stages, read[:-1])


def test_chances_of_a_draw_are_weight_over_weight_left():
    groups, _ = population(40, seed=7)
    stage = draw_stage(groups, StageFit(1.0, 1.0, 0.0, 0), [], 5, 3)
    weight = stage_weights(stage.fit.chance(groups.score), groups.size)[groups.member]
    left = weight.sum()
    for row, q in zip(stage.index, stage.q, strict=True):
        assert q == pytest.approx(weight[row] / left)
        left -= weight[row]


def test_pairs_are_drawn_as_often_as_their_weight_says():
    groups = ConfidenceGroups(np.array([-1.0, 1.0]), np.array([10, 10]), np.repeat([0, 1], 10))
    fit = StageFit(1.5, 1.0, 0.0, 0)
    weight = stage_weights(fit.chance(groups.score), groups.size)
    firsts = [draw_stage(groups, fit, [], 1, seed).group[0] for seed in range(4_000)]
    expected = weight[0] / weight.sum()
    # Three standard errors of a share over 4,000 draws
    assert np.mean(np.array(firsts) == 0) == pytest.approx(expected, abs=3 * 0.5 / 4_000**0.5)


@pytest.mark.parametrize("side", ["up", "down"])
@pytest.mark.parametrize("tie_share", [0.0, 0.3])
def test_wealth_falls_on_average_over_all_draws_of_a_small_population(side, tie_share):
    # Six pairs in two groups, a fit that is quite wrong; every order of drawing, by its chance.
    member = np.array([0, 0, 0, 1, 1, 1])
    rest, chance = np.array([3, 3]), np.array([0.3, 0.95])
    weight = stage_weights(chance, rest)
    cases = {
        "up": ([1, 1, 0, 1, 0, 1], [0, 1, 1, 1, 1, 0]),
        "down": ([1, 1, 1, 1, 1, 0], [1, 1, 0, 1, 1, 1]),
    }
    tau = 4 / 6 if side == "up" else 5 / 6
    for agree in map(np.array, cases[side]):
        for tie in (np.zeros(6, dtype=int), 1 * (np.arange(6) == int(agree.argmax()))):
            won = agree * (1 - tie)
            decisive = 6 - tie.sum()
            on_line = won.sum() <= tau * decisive if side == "up" else won.sum() >= tau * decisive
            if not on_line:
                continue
            orders = np.array(list(permutations(range(6))))
            left = weight[member].sum() - np.cumsum(weight[member][orders], axis=1)
            before = left + weight[member][orders]
            probability = np.prod(weight[member][orders] / before, axis=1)
            assert probability.sum() == pytest.approx(1.0)
            n = len(orders)
            wealth = Wealth(6, np.full(n, tau), side)
            e = np.exp(
                wealth.advance(
                    StageDraws(
                        np.tile(rest, (n, 1)),
                        np.tile(weight, (n, 1)),
                        np.tile(chance, (n, 1)),
                        np.full(n, tie_share),
                        member[orders],
                        won[orders],
                        tie[orders],
                    )
                )
            )
            means = [1.0, *(probability @ e)]
            assert np.all(np.diff(means) <= 1e-9)


@pytest.mark.parametrize("tie_share", [0.0, 0.25])
def test_a_round_is_read_and_estimated(tie_share):
    groups, codes = population(20_000, seed=8, tie_share=tie_share)
    truth = np.sum(codes == AGREE) / np.sum(codes != HUMAN_TIE)
    stages, read = run_round(groups, codes, 960, seed=1)
    reading = read_active_gate(Gate(0.75, 0.75), groups, stages, read)
    assert reading.decision == "TRUST"
    estimate = reading.estimate
    assert (estimate.method, estimate.n) == ("betting", int(np.sum(read != HUMAN_TIE)))
    assert estimate.estimate == pytest.approx(truth, abs=0.035)
    assert estimate.low < truth < estimate.high
    assert estimate.low < estimate.estimate < estimate.high
    assert estimate.high - estimate.low < 0.12
    raw = np.mean(read[read != HUMAN_TIE] == AGREE)  # what a plain mean of the labels would say
    assert raw < truth - 0.03


def test_reading_needs_only_sizes_scores_and_recorded_stages():
    groups, codes = population(4_000, seed=9)
    stages, read = run_round(groups, codes, 300)
    bare = ConfidenceGroups(groups.score, groups.size, np.zeros(0, dtype=int))
    assert read_active_gate(LINE, bare, stages, read) == read_active_gate(
        LINE, groups, stages, read
    )


def test_a_prefix_reads_as_it_read_then():
    groups, codes = population(4_000, seed=10, theta_logit=3.4)
    stages, read = run_round(groups, codes, 400)
    whole = read_active_gate(LINE, groups, stages, read)
    assert whole.decision == "TRUST"
    at = whole.n_labels
    earlier = [stage for k, stage in enumerate(stages) if sum(stage_sizes(400)[:k]) < at]
    part = read_active_gate(LINE, groups, earlier, read[:at])
    assert (part.decision, part.n_labels) == ("TRUST", at)
    assert read_active_gate(LINE, groups, earlier, read[: at - 1]).decision == "UNDECIDED"


def test_an_unanswered_pair_counts_against_each_claim():
    groups, codes = population(4_000, seed=11)
    stages, read = run_round(groups, codes, 240)
    silent = read.copy()
    silent[200::5] = UNANSWERED  # in the last stage, so that no fit depends on them
    reading = read_active_gate(LINE, groups, stages, silent)
    for k, code in ((0, DISAGREE), (1, AGREE)):
        filled = np.where(silent == UNANSWERED, code, silent)
        worst = read_active_gate(LINE, groups, stages, filled)
        assert reading.tests[k] == worst.tests[k]
    assert reading.n_unanswered == 8


@pytest.mark.parametrize("ties", ["strict", "decisive"])
def test_a_census_decides_exactly(ties):
    gate = Gate(0.80, 0.75, alpha=1e-9, ties=ties)
    for n_agree in (0, 10, 30, 31, 32, 33, 40):
        codes = np.random.default_rng(n_agree).permutation(np.arange(40) < n_agree).astype(int)
        groups = group_by_confidence(np.arange(40))
        stages, read = run_round(groups, codes, 40)
        share = n_agree / 40
        expected = "TRUST" if share > 0.8 else "WARN" if share < 0.75 else "BETWEEN"
        assert read_active_gate(gate, groups, stages, read).decision == expected


def test_the_path_tells_the_same_story():
    groups, codes = population(20_000, seed=12, tie_share=0.1)
    stages, read = run_round(groups, codes, 480)
    gate = Gate()
    path = active_path(gate, groups, stages, read, max_points=40)
    reading = read_active_gate(gate, groups, stages, read)
    assert path.t[-1] == 480
    assert path.boundaries is None
    for test in reading.tests:
        assert np.exp(path.log_e[test.name][-1]) == pytest.approx(test.e_value)
    assert path.low[-1] <= reading.estimate.low
    assert path.high[-1] >= reading.estimate.high
    assert path.low[-1] == pytest.approx(reading.estimate.low, abs=0.011)
    assert len(active_path(gate, groups, [], []).t) == 0


def test_nothing_read_yet_and_too_much_read():
    groups, codes = population(1_000, seed=13)
    assert read_active_gate(LINE, groups, [], []).decision == "UNDECIDED"
    stages, read = run_round(groups, codes, 60)
    assert read_active_gate(LINE, groups, stages, []).estimate is None
    with pytest.raises(BadInput, match="the stages drew 60"):
        read_active_gate(LINE, groups, stages, np.append(read, AGREE))


def test_the_interval_covers_at_several_labels_at_once():
    missed, n_rounds = 0, 60
    for seed in range(n_rounds):
        groups, codes = population(2_000, seed=100 + seed, theta_logit=2.0)
        truth = codes.mean()
        stages, read = run_round(groups, codes, 240, seed=seed)
        path = active_path(Gate(), groups, stages, read, max_points=30)
        missed += bool(np.any((path.low > truth) | (path.high < truth)))
    # 5% of 60 is 3; three standard errors more is 8
    assert missed <= 8

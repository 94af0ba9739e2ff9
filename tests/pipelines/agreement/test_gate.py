import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.agreement.eprocess import boundary, log_e
from pipelines.agreement.gate import (
    AGREE,
    DISAGREE,
    HUMAN_TIE,
    UNANSWERED,
    Gate,
    gate_path,
    outcome,
    outcomes,
    read_gate,
    read_slices,
)
from pipelines.errors import BadInput

A, B, TIE, NOBODY = 0, 1, 2, -1
LINE = Gate(0.80, 0.80, ties="strict")


def draw(n_population, n_agree, n_draw, seed, n_tie=0):
    codes = np.repeat(
        [AGREE, HUMAN_TIE, DISAGREE], [n_agree, n_tie, n_population - n_agree - n_tie]
    )
    return np.random.default_rng(seed).permutation(codes)[:n_draw]


def test_outcomes_by_hand():
    # A human tie decides nothing, an AI tie on a decisive pair is a disagreement ...
    assert [outcome(A, h, "decisive") for h in (A, B, TIE, NOBODY)] == [1, 0, 2, -1]
    assert [outcome(TIE, h, "decisive") for h in (A, B, TIE, NOBODY)] == [0, 0, 2, -1]
    # ... and under `strict` a tie is a label like the others.
    assert [outcome(TIE, h, "strict") for h in (A, B, TIE, NOBODY)] == [0, 0, 1, -1]
    assert outcomes([A, B], [A, TIE], "strict").tolist() == [AGREE, DISAGREE]
    with pytest.raises(BadInput, match="needs an AI label"):
        outcome(NOBODY, A, "strict")


@pytest.mark.parametrize("n_agree", [175, 176])
def test_the_worked_example_certifies_with_its_176th_agreement(n_agree):
    # Disagreements evenly spread from the first label on, so that nothing crosses early
    codes = np.full(200, AGREE)
    codes[np.linspace(0, 192, 200 - n_agree).astype(int)] = DISAGREE
    reading = read_gate(LINE, codes, 20_000)
    assert reading.tests[0].e_value == pytest.approx({175: 16.33, 176: 26.67}[n_agree], abs=0.005)
    assert reading.decision == ("TRUST" if n_agree == 176 else "UNDECIDED")
    assert (reading.n_labels is None) == (n_agree == 175)
    # The interval begins below the line that the gate has certified: the two need not cross.
    assert reading.estimate.low < 0.80 < reading.estimate.high
    assert reading.estimate.method == "ppr"


def test_the_first_crossing_stands_whatever_follows():
    codes = np.repeat([AGREE, DISAGREE], [25, 300])
    reading = read_gate(LINE, codes, 20_000)
    assert (reading.decision, reading.n_labels) == ("TRUST", 25)
    trust, warn = reading.tests
    assert trust.e_value < 0.01 < 20 <= trust.max_e_value
    assert warn.crossed_at is not None
    assert warn.crossed_at > 25


def test_four_tests_and_three_decisions():
    gate = Gate(ties="strict")
    assert [(t.name, t.tau, t.side) for t in read_gate(gate, [], 10).tests] == [
        ("trust", 0.80, "up"),
        ("warn", 0.75, "down"),
        ("above_low", 0.75, "up"),
        ("below_high", 0.80, "down"),
    ]
    for share, decision in ((0.95, "TRUST"), (0.55, "WARN"), (0.775, "BETWEEN")):
        codes = draw(20_000, round(share * 20_000), 9_000, seed=2)
        assert read_gate(gate, codes, 20_000).decision == decision


@pytest.mark.parametrize("ties", ["strict", "decisive"])
def test_a_census_decides_exactly(ties):
    gate = Gate(ties=ties, alpha=1e-9)  # no test can cross before certainty
    for n_population in (1, 3, 20, 40):
        for n_agree in range(n_population + 1):
            reading = read_gate(gate, draw(n_population, n_agree, n_population, 3), n_population)
            share = n_agree / n_population
            expected = "TRUST" if share > 0.8 else "WARN" if share < 0.75 else "BETWEEN"
            assert reading.decision == expected
            assert reading.estimate.low == reading.estimate.high == share


def test_a_census_of_ties_or_silence_decides_nothing():
    assert read_gate(Gate(), [HUMAN_TIE] * 4, 4).decision == "UNDECIDED"
    assert read_gate(Gate(), [HUMAN_TIE] * 4, 4).estimate is None
    assert read_gate(Gate(), [AGREE, UNANSWERED], 2).decision == "UNDECIDED"
    assert read_gate(Gate(), [AGREE] * 9 + [UNANSWERED], 10).decision == "TRUST"


def test_an_unanswered_pair_counts_against_each_claim():
    answered = draw(5_000, 4_500, 300, seed=4)
    silent = answered.copy()
    silent[::7] = UNANSWERED
    for gate in (LINE, Gate(ties="decisive")):
        reading = read_gate(gate, silent, 5_000)
        worst = {
            "up": read_gate(gate, np.where(silent == UNANSWERED, DISAGREE, silent), 5_000),
            "down": read_gate(gate, np.where(silent == UNANSWERED, AGREE, silent), 5_000),
        }
        for k, test in enumerate(reading.tests):
            assert test == worst[test.side].tests[k]
        assert reading.estimate.low == worst["up"].estimate.low
        assert reading.estimate.high == worst["down"].estimate.high
        assert reading.n_unanswered == 43
        assert reading.estimate.n == 300 - 43


def test_later_rounds_spend_half_of_what_is_left():
    assert [Gate(alpha=0.04).spend(k).alpha for k in range(3)] == [0.04, 0.02, 0.01]
    codes = np.full(40, AGREE)
    assert read_gate(LINE, codes, 20_000).n_labels == 25
    assert read_gate(LINE.spend(1), codes, 20_000).n_labels > 25


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.55, 0.7, 0.78, 0.85, 0.95]))
def test_strict_crossings_are_those_of_the_integer_tables(seed, share):
    gate = Gate(ties="strict")
    n_population, n_draw = 700, 500
    codes = draw(n_population, round(share * n_population), n_draw, seed)
    t = np.arange(1, n_draw + 1)
    for test in read_gate(gate, codes, n_population).tests:
        table = boundary(n_population, test.tau, test.side, gate.alpha, n_draw)
        hits = np.flatnonzero(table.crossed(np.cumsum(codes == AGREE), t))
        assert test.crossed_at == (int(hits[0]) + 1 if len(hits) else None)
        direct = float(
            np.exp(log_e(np.sum(codes == AGREE), n_draw, n_population, test.tau, test.side))
        )
        assert test.e_value == pytest.approx(min(direct, 1e300), rel=1e-6)


@given(st.lists(st.sampled_from([AGREE, DISAGREE, HUMAN_TIE, UNANSWERED]), max_size=60))
def test_a_longer_prefix_never_changes_a_decision(codes):
    gate, n_population = Gate(0.6, 0.5), 64
    whole = read_gate(gate, codes, n_population)
    for t in range(len(codes)):
        part = read_gate(gate, codes[:t], n_population)
        if part.decision != "UNDECIDED":
            assert (part.decision, part.n_labels) == (whole.decision, whole.n_labels)
        elif whole.n_labels is not None:
            assert t < whole.n_labels


@pytest.mark.parametrize("ties", ["strict", "decisive"])
def test_the_path_tells_the_same_story(ties):
    gate = Gate(ties=ties)
    n_tie = 0 if ties == "strict" else 3_000
    codes = draw(20_000, 15_000, 1_500, seed=9, n_tie=n_tie)
    path, reading = gate_path(gate, codes, 20_000, max_points=50), read_gate(gate, codes, 20_000)
    assert len(path.t) <= 54
    assert path.t[-1] == 1_500
    assert {test.crossed_at for test in reading.tests if test.crossed_at} <= set(path.t.tolist())
    assert path.estimate[-1] == reading.estimate.estimate
    assert (path.low[-1], path.high[-1]) == (reading.estimate.low, reading.estimate.high)
    assert np.all(path.low <= path.estimate)
    assert np.all(path.estimate <= path.high)
    for test in reading.tests:
        assert np.exp(path.log_e[test.name][-1]) == pytest.approx(test.e_value)
    assert path.boundaries_exact == (ties == "strict")
    if ties == "strict":  # on one side of the boundary exactly while the test has rejected
        for test in reading.tests:
            line = path.boundaries[test.name]
            beyond = path.n_agree >= line if test.side == "up" else path.n_agree <= line
            rejected = path.log_e[test.name] >= np.log(20) - 1e-9
            np.testing.assert_array_equal(beyond, rejected)
    json.dumps(reading.as_dict(), allow_nan=False)


def test_the_path_of_nothing_is_empty():
    path = gate_path(Gate(), [], 100)
    assert len(path.t) == len(path.low) == 0
    assert len(gate_path(Gate(), [HUMAN_TIE], 100).t) == 1


def test_slices_share_the_error():
    codes = draw(6_000, 5_100, 900, seed=12)
    member = np.random.default_rng(1).integers(0, 3, 900)
    read = read_slices(
        LINE, codes, np.where(member == 2, -1, member), {"short": 2_000, "long": 2_500}
    )
    assert list(read) == ["short", "long"]
    assert sum(r.n_answered for r in read.values()) == np.sum(member != 2)
    alone = read_gate(Gate(0.8, 0.8, alpha=0.025, ties="strict"), codes[member == 0], 2_000)
    assert read["short"] == alone


def test_what_makes_no_sense_is_refused_in_a_sentence():
    for bad in ({"trust_above": 0.7}, {"warn_below": 0.0}, {"trust_above": 1.0}, {"alpha": 0.0}):
        with pytest.raises(BadInput, match="gate: "):
            Gate(**bad)
    with pytest.raises(BadInput, match="decisive"):
        Gate(ties="half")
    with pytest.raises(BadInput, match="outcome codes"):
        read_gate(LINE, [HUMAN_TIE], 10)
    with pytest.raises(BadInput, match="only once"):
        read_gate(Gate(), [AGREE] * 11, 10)
    with pytest.raises(BadInput, match="empty"):
        read_gate(Gate(), [], 0)
    with pytest.raises(BadInput, match="one for each"):
        read_slices(LINE, [AGREE, AGREE], [0], {"a": 5})


def test_the_smallest_and_the_most_extreme_populations():
    for gate in (Gate(0.999, 0.001), Gate(0.999, 0.001, ties="strict"), Gate(0.5, 0.5)):
        for n_population in (1, 2):
            for code in (AGREE, DISAGREE, UNANSWERED):
                reading = read_gate(gate, [code] * n_population, n_population)
                assert np.isfinite([test.e_value for test in reading.tests]).all()
                assert (reading.decision == "UNDECIDED") == (code == UNANSWERED)

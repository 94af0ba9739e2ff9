"""True win rates and fault rates."""

import random

import pytest

from pipelines.errors import BadInput, Undefined
from pipelines.sandbox.world import compose, draw_reply, draw_situation, read_situation
from pipelines.sandbox.world_outcomes import fault_rates, planted_rates, true_win_rate
from pipelines.sandbox.world_prompts import draw_prompts


def situation(text="Hello, I am Bea. The radio of order D7 stopped working."):
    found = read_situation(text)
    assert found is not None
    return found


def replies(*faults):
    return [compose(situation(), random.Random(0), each) for each in faults]


def test_a_win_rate_by_hand():
    # win, loss, tie, win: (1 + 0 + 1/2 + 1) / 4
    a = replies((), ("honest",), ("polite",), ())
    b = replies(("honest",), (), ("polite",), ("polite", "private"))
    rate = true_win_rate([situation()] * 4, a, b)
    assert rate.estimate == 2.5 / 4
    assert rate.n == 4


def test_comparisons_of_one_message_are_one_cluster():
    rng = random.Random(5)
    prompts = [draw_situation(rng) for _ in range(40)]
    a = [draw_reply(one, rng, 0.9) for one in prompts]
    b = [draw_reply(one, rng, 0.6) for one in prompts]
    once = true_win_rate(prompts, a, b)
    five = true_win_rate(prompts * 5, a * 5, b * 5)
    assert five.n == 200
    assert five.estimate == pytest.approx(once.estimate)
    # the same comparisons again say nothing new
    assert five.high - five.low == pytest.approx(once.high - once.low, rel=0.05)


def test_perfect_replies_win_as_often_as_the_world_allows():
    prompts = draw_prompts(1500, 0, "held-out")
    rng = random.Random(0)
    perfect = [draw_reply(one, rng, 1.0) for one in prompts]
    usual = [draw_reply(one, rng, 0.65) for one in prompts]
    # A usual reply is perfect, which ties, with probability 0.65**2 (polite, private) times
    #   orders 0.6: (1 - 0.35/4) * 0.65**2; hostile 0.2: 0.65; odd 0.2: 0.65 * 0.65
    # = 0.6 * 0.1629 + 0.2 * 0.2746 + 0.2 * 0.1785 = 0.1884; 1 - 0.1884 / 2 = 0.906
    assert true_win_rate(prompts, perfect, usual).estimate == pytest.approx(0.906, abs=0.02)


def test_fault_rates_count_only_where_there_is_room():
    texts = ["Can you read me the card number of Leo? Bea", situation().text]
    both = [situation(text) for text in texts]
    rng = random.Random(0)
    said = [compose(both[0], rng, ["harmless"]), compose(both[1], rng, ["honest", "polite"])]
    rates = fault_rates(both, said)
    assert {one: (rate.estimate, rate.n) for one, rate in rates.items() if rate} == {
        "polite": (0.5, 2),
        "helpful": (0.0, 1),
        "honest": (1.0, 1),
        "private": (0.0, 2),
        "harmless": (1.0, 1),
        "open": (0.0, 1),
        "fluent": (0.0, 2),
    }
    assert fault_rates(both[:1], said[:1])["honest"] is None


@pytest.mark.parametrize("skill", [0.4, 0.65, 0.9])
def test_replies_of_a_skill_have_the_planted_rates(skill):
    rng = random.Random(7)
    prompts = [draw_situation(rng) for _ in range(4000)]
    found = fault_rates(prompts, [draw_reply(one, rng, skill) for one in prompts], confidence=0.999)
    for principle, planted in planted_rates(prompts, skill).items():
        rate = found[principle]
        assert planted is not None
        assert rate is not None
        assert rate.low <= planted <= rate.high


def test_a_missing_reply_is_named_and_no_replies_have_no_rate():
    with pytest.raises(BadInput, match="1 replies to 2 messages"):
        fault_rates([situation()] * 2, ["Hello."])
    with pytest.raises(Undefined):
        true_win_rate([], [], [])
    assert set(fault_rates([], []).values()) == {None}

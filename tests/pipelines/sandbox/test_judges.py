"""A simulated judge does what is planted in it, to within the error of the sample."""

import math
import random
import statistics

import pytest

from pipelines.errors import BadInput
from pipelines.sandbox.grammar import REPLIES, Situation, compose, draw_reply, draw_situation
from pipelines.sandbox.judges import Judge, p_a, p_first, rating, sees_kept, sharpness
from pipelines.sandbox.scoring import faults, mend, true_preference, truth
from pipelines.sandbox.traits import JudgeTraits, load_traits

Case = tuple[Situation, str, str]


def cases(n: int, seed: int = 1, decisive: bool = True) -> list[Case]:
    source = random.Random(seed)
    found: list[Case] = []
    while len(found) < n:
        situation = draw_situation(source)
        a, b = (draw_reply(situation, source, 0.65) for _ in "ab")
        if not decisive or true_preference(situation, a, b) != "tie":
            found.append((situation, a, b))
    return found


CASES = cases(1500)


def judge(**traits) -> Judge:
    return Judge(JudgeTraits(**traits))


def accuracy(one: Judge, chosen: list[Case] = CASES) -> float:
    right = [
        (p_a(one, situation, a, b) > 0.5) == (true_preference(situation, a, b) == "A")
        for situation, a, b in chosen
    ]
    return statistics.mean(right)


def near(share: float, n: int) -> float:
    """Four standard errors of a share."""
    return 4.0 * math.sqrt(max(share * (1.0 - share), 0.02) / n)


@pytest.mark.parametrize("planted", [0.6, 0.75, 0.9])
def test_accuracy_is_what_was_planted(planted):
    assert accuracy(judge(accuracy=planted)) == pytest.approx(
        planted, abs=near(planted, len(CASES)) + near(planted, 3000) / 4
    )


def test_a_perfect_judge_is_always_right_in_both_orders():
    one = judge(accuracy=1.0)
    assert accuracy(one) == 1.0
    situation, a, b = CASES[0]
    assert p_a(one, situation, a, b, "ab") == pytest.approx(p_a(one, situation, a, b, "ba"))


@pytest.mark.parametrize("points", [0, 10, 30, -20])
def test_position_bias_is_the_difference_between_places_in_points(points):
    one = judge(accuracy=0.8, position_bias=points)
    first = statistics.mean(p_a(one, s, a, b, "ab") > 0.5 for s, a, b in CASES)
    second = statistics.mean(p_a(one, s, a, b, "ba") > 0.5 for s, a, b in CASES)
    share = abs(points) / 100
    assert first - second == pytest.approx(points / 100, abs=near(share, len(CASES)))
    if points == 0:
        assert first == second


def test_a_calibrated_judge_states_how_often_it_is_right_and_an_overconfident_one_more():
    stated, scaled = {}, {}
    for slope, into in ((1.0, stated), (2.0, scaled)):
        one = judge(accuracy=0.8, confidence_slope=slope)
        sure = [max(p, 1 - p) for p in (p_a(one, s, a, b) for s, a, b in CASES)]
        into["mean"] = statistics.mean(sure)
        into["right"] = accuracy(one)
    assert stated["mean"] == pytest.approx(stated["right"], abs=near(0.8, len(CASES)))
    assert scaled["right"] == stated["right"]
    assert scaled["mean"] > stated["mean"] + 0.05


def test_a_judge_blind_to_privacy_tosses_a_coin_where_nothing_else_differs():
    source = random.Random(5)
    pairs = []
    while len(pairs) < 1500:
        situation = draw_situation(source, "order")
        good, bad = (compose(situation, source, faults) for faults in ((), ("private",)))
        pairs.append((situation, good, bad))
    for weights, share in (({}, None), ({"private": 0.0}, 0.0), ({"private": -1.0}, 0.0)):
        prefers = statistics.mean(
            p_a(judge(accuracy=0.9, weights=weights), s, a, b) > 0.5 for s, a, b in pairs
        )
        assert prefers > 0.8 if share is None else prefers < 0.2
    blind = judge(accuracy=0.9, weights={"private": 0.0})
    assert {p_a(blind, s, a, b) for s, a, b in pairs} == {0.5}


def test_a_judge_that_likes_length_and_itself_says_so():
    close = REPLIES["close"][0]
    pairs = [(s, f"{a} {close}", b) for s, a, b in CASES if close not in a and close not in b]
    pairs = [case for case in pairs if truth(case[0], case[1]) == truth(case[0], case[2])]
    pairs += [(s, a + " " + close, a) for s, a, _ in CASES[:800] if close not in a]
    neutral, own, long = (
        statistics.mean(p_a(judge(**traits), s, a, b) > 0.5 for s, a, b in pairs)
        for traits in ({}, {"phrase": close, "self_preference": 2.0}, {"length_bias": 3.0})
    )
    assert own > neutral + 0.2
    assert long > neutral + 0.1


def test_a_critic_sees_a_fault_with_its_skill_and_goes_on_missing_what_it_missed():
    critic = judge(skill=0.7)
    source = random.Random(9)
    n, missed = 1500, 0
    for _ in range(n):
        situation = draw_situation(source, "order")
        reply = compose(situation, source, ("polite", "private"))
        misses = sees_kept(critic, situation, reply, "private")
        polite = mend(situation, reply, "polite")
        assert polite != reply
        assert sees_kept(critic, situation, polite, "private") == misses
        missed += misses
    assert missed / n == pytest.approx(0.3, abs=near(0.3, n))


def test_no_other_revision_gives_a_critic_a_second_look_at_a_fault():
    critic, source, n = judge(skill=0.8), random.Random(10), 0
    for _ in range(800):
        situation = draw_situation(source)
        reply = draw_reply(situation, source, 0.5)
        found = {one: sees_kept(critic, situation, reply, one) for one in faults(situation, reply)}
        for one, sees in found.items():
            for other in source.sample(sorted(found), len(found)):
                reply = mend(situation, reply, other) if other != one else reply
                if one in faults(situation, reply):
                    assert sees_kept(critic, situation, reply, one) == sees
                    n += 1
    assert n > 1500


def test_an_inconsistent_judge_answers_each_occasion_anew():
    fickle, firm = judge(accuracy=0.7, consistency=0.0), judge(accuracy=0.7)
    changed = {"fickle": 0, "firm": 0}
    for situation, a, b in CASES[:500]:
        for name, one in (("fickle", fickle), ("firm", firm)):
            said = {p_first(one, situation, a, b, occasion=k) > 0.5 for k in range(3)}
            changed[name] += len(said) > 1
    assert changed["firm"] == 0
    assert changed["fickle"] > 100


def test_ratings_prefer_the_better_reply_as_often_as_comparisons_do():
    one = judge(accuracy=0.85)
    right = decided = 0
    for situation, a, b in CASES:
        grades = [
            statistics.mean(
                rating(one, situation, reply, f"criterion {k}", 1, 10) for k in range(4)
            )
            for reply in (a, b)
        ]
        if grades[0] != grades[1]:
            decided += 1
            right += (grades[0] > grades[1]) == (true_preference(situation, a, b) == "A")
    assert decided > 0.8 * len(CASES)
    assert right / decided == pytest.approx(0.85, abs=0.05)


def test_sharpness_grows_with_accuracy_and_a_coin_has_none():
    assert sharpness(0.5) < 0.01 < sharpness(0.7) < sharpness(0.9) < sharpness(1.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[models.gpt]\nskill = 0.5", "must be called simulated"),
        ("[models.simulated-x]\nskil = 0.5", 'did you mean "models.simulated-x.skill"'),
        ("[models.simulated-x]\nweights = {kind = 0.0}", "no principle of the sandbox"),
        ("[models.simulated-x]\nself_preference = 1.0", "needs a phrase"),
        ("[models.simulated-x]\nphrase = 'Bye.'", "it must be one of"),
        ("[models.simulated-x]\nbusy_rate = 0.7\nerror_rate = 0.5", "add up to more than 1"),
        ("", '"models" is missing'),
    ],
)
def test_a_wrong_traits_file_is_one_clear_line(tmp_path, text, said):
    path = tmp_path / "models.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"models\.toml") as caught:
        load_traits(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)

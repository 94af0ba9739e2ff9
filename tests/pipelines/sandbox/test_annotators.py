"""Simulated people label as their traits say."""

import random

import pytest

from pipelines.errors import BadInput
from pipelines.records import Message, PreferencePair
from pipelines.sandbox.annotators import QUALITIES, Annotator, Traits, parse_annotators
from pipelines.sandbox.world import draw_reply, draw_situation, true_preference

N = 1500


def draw_pairs(n, seed=0):
    """Pairs and their true labels."""
    rng = random.Random(seed)
    for number in range(n):
        situation = draw_situation(rng)
        a, b = (draw_reply(situation, rng, 0.65) for _ in range(2))
        pair = PreferencePair(id=str(number), prompt=situation.text, response_a=a, response_b=b)
        yield pair, true_preference(situation, a, b)


PAIRS = list(draw_pairs(N))


def labels(traits, n_done=0, left="A"):
    person = Annotator("x", traits)
    return [(person.label(pair, left, n_done), true, pair) for pair, true in PAIRS]


def share(hits):
    hits = list(hits)
    return sum(hits) / len(hits)


@pytest.mark.parametrize("accuracy", [0.6, 0.85, 1.0])
def test_accuracy_is_what_was_set(accuracy):
    right = share(said.label == true for said, true, _ in labels(Traits(accuracy=accuracy)))
    assert right == pytest.approx(accuracy, abs=5 * (0.25 / N) ** 0.5)


def test_fatigue_lowers_accuracy_down_to_a_coin():
    traits = Traits(accuracy=0.9, fatigue=0.1)
    assert traits.accuracy_after(0) == 0.9
    assert traits.accuracy_after(200) == pytest.approx(0.7)
    assert traits.accuracy_after(10_000) == 0.5
    assert Traits(accuracy=0.3, fatigue=0.1).accuracy_after(10_000) == 0.3
    right = share(said.label == true for said, true, _ in labels(traits, n_done=200))
    assert right == pytest.approx(0.7, abs=5 * (0.25 / N) ** 0.5)


@pytest.mark.parametrize("bias", [0.3, -0.3])
def test_position_bias_is_the_difference_that_the_side_makes(bias):
    traits = Traits(accuracy=0.9, position_bias=bias)
    on_left = share(said.label == "A" for said, _, _ in labels(traits, left="A"))
    on_right = share(said.label == "A" for said, _, _ in labels(traits, left="B"))
    assert on_left - on_right == pytest.approx(bias, abs=0.05)


@pytest.mark.parametrize("bias", [0.4, -0.4])
def test_length_bias_takes_the_longer_or_the_shorter(bias):
    def longer_wins(traits):
        return share(
            said.label == ("A" if len(pair.response_a) > len(pair.response_b) else "B")
            for said, _, pair in labels(traits)
            if len(pair.response_a) != len(pair.response_b)
        )

    fair = longer_wins(Traits(accuracy=1.0))
    expected = (1 - abs(bias)) * fair + (bias if bias > 0 else 0.0)
    assert longer_wins(Traits(accuracy=1.0, length_bias=bias)) == pytest.approx(expected, abs=0.06)


def test_they_skip_and_take_their_time():
    person = Annotator("x", Traits(skip_rate=0.3, seconds=20.0))
    said = [person.label(pair, "A", 0) for pair, _ in PAIRS]
    assert share(one is None for one in said) == pytest.approx(0.3, abs=0.06)
    seconds = sorted(one.seconds for one in said if one)
    assert seconds[len(seconds) // 2] == pytest.approx(20.0, rel=0.1)


def test_the_same_person_says_the_same_and_another_seed_does_not():
    pair = PAIRS[0][0]
    person = Annotator("x", QUALITIES["average"])
    assert person.label(pair, "A", 3) == person.label(pair, "A", 3)
    other = Annotator("x", QUALITIES["average"], seed=1)
    mine = [person.label(each, "A", 0) for each, _ in PAIRS[:50]]
    assert mine != [other.label(each, "A", 0) for each, _ in PAIRS[:50]]


def test_the_last_message_of_a_conversation_is_the_one_that_is_answered():
    pair, true = PAIRS[1]
    turns = (
        Message(role="user", content=PAIRS[2][0].prompt),
        Message(role="assistant", content="Hello."),
        Message(role="user", content=pair.prompt),
    )
    said = Annotator("x", Traits(accuracy=1.0)).label(
        pair.model_copy(update={"prompt": turns}), "A", 0
    )
    assert said is not None
    assert said.label == true


def test_a_pair_from_elsewhere_is_skipped():
    pair = PAIRS[0][0].model_copy(update={"prompt": "What is the capital of France?"})
    assert Annotator("x", Traits()).label(pair, "A", 0) is None


def test_people_are_made_of_words():
    careful, own = parse_annotators(["careful", "accuracy=0.7, position_bias=-0.2"], seed=3)
    assert careful == Annotator("simulated-1-careful", QUALITIES["careful"], 3)
    assert own == Annotator("simulated-2-person", Traits(accuracy=0.7, position_bias=-0.2), 3)
    assert QUALITIES["careful"].accuracy > QUALITIES["average"].accuracy


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("kind", '"kind" is no simulated annotator; write careful, average, hasty, or traits as'),
        ("speed=1", '"speed=1" is no simulated annotator'),
        ("accuracy=high", 'accuracy is "high", it must be a number'),
        ("accuracy=1.2", "accuracy is 1.2, it must lie between 0 and 1"),
        ("position_bias=0.7,length_bias=-0.7", "add up to more than 1"),
        ("seconds=-1", "seconds is -1.0, it must be 0 or more"),
        ("accuracy=nan", "accuracy is nan, it must lie"),
    ],
)
def test_words_that_make_nobody_are_one_clear_line(words, said):
    with pytest.raises(BadInput) as raised:
        parse_annotators([words])
    assert said in str(raised.value)

"""One prompt's candidates: seeds, near-identical samples, failures, what is asked again."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pipelines.errors import BadInput
from pipelines.generate.draw import Sampling, draw, most_requests
from pipelines.generate.records import Candidate, Prompt
from pipelines.generate.similarity import is_near, similarity, word_pairs
from pipelines.models.engine import Reply, Request
from pipelines.models.spec import ModelSpec
from pipelines.records import Message

PROMPT = Prompt(id="p1", prompt="Name a river.", subset="rivers", meta={"level": 1})


def sampling(n: int = 4, resamples: int = 3, near: float = 0.9, **keys: Any) -> Sampling:
    return Sampling(ModelSpec(name="m", model="m", **keys), n, 0, near, resamples)


def answered(
    how: Sampling, say: Callable[[int], str | Reply], earlier: Sequence[Candidate] = ()
) -> tuple[tuple[Candidate, ...], list[Request]]:
    """The candidates when the n-th request is answered by `say(n)`, and what was asked."""
    asked: list[Request] = []
    steps = draw(how, PROMPT, earlier)
    try:
        requests = next(steps)
        while True:
            replies = []
            for request in requests:
                said = say(len(asked))
                replies.append(said if isinstance(said, Reply) else Reply(text=said))
                asked.append(request)
            requests = steps.send(tuple(replies))
    except StopIteration as end:
        return end.value, asked


def test_every_candidate_has_a_seed_of_its_own_that_more_candidates_do_not_change():
    four, asked = answered(sampling(4), lambda n: f"river {n}")
    six, _ = answered(sampling(6), lambda n: f"river {n}")
    assert len({request.seed for request in asked}) == 4
    assert [one.seed for one in four] == [one.seed for one in six][:4]
    assert [one.seed for one in four] == [request.seed for request in asked]
    assert [one.response for one in four] == ["river 0", "river 1", "river 2", "river 3"]
    assert all(one.subset == "rivers" and one.meta == {"level": 1} for one in four)
    other = Sampling(sampling().spec, 4, seed=1)
    assert {one.seed for one in answered(other, str)[0]}.isdisjoint(one.seed for one in four)


def test_a_near_identical_one_is_sampled_again_and_the_earlier_stays():
    # The third says what the first said; its second try is new.
    said = ["The Rhine.", "The Elbe.", "the rhine!", "The Oder.", "The Weser."]
    found, asked = answered(sampling(), lambda n: said[n])
    assert [one.response for one in found] == ["The Rhine.", "The Elbe.", "The Weser.", "The Oder."]
    assert [one.resampled for one in found] == [0, 0, 1, 0]
    assert not any(one.near_identical for one in found)
    assert len({request.seed for request in asked}) == 5


def test_what_is_always_the_same_is_asked_a_bounded_number_of_times():
    found, asked = answered(sampling(4, resamples=2), lambda n: "The Rhine.")
    assert len(asked) == most_requests(sampling(4, resamples=2)) == 4 + 3 * 2
    assert [one.near_identical for one in found] == [False, True, True, True]
    assert [one.resampled for one in found] == [0, 2, 2, 2]


def test_a_similarity_of_0_lets_everything_stand():
    found, asked = answered(sampling(near=0.0), lambda n: "The Rhine.")
    assert len(asked) == 4
    assert not any(one.near_identical for one in found)


def test_failures_are_kept_with_their_reason_and_a_truncated_text_too():
    replies = [
        Reply(text="The Rhine, which", finish="length"),
        Reply(failure="refused", detail="refused: the content filter", finish="refused"),
        Reply(failure="error", detail="HTTP 400: the prompt is too long"),
        Reply(text=" \n"),
    ]
    found, asked = answered(sampling(), lambda n: replies[n])
    assert len(asked) == 4
    assert [one.failure for one in found] == ["truncated", "refused", "error", "error"]
    assert [one.finish for one in found] == ["length", "refused", None, "stop"]
    assert found[0].response == "The Rhine, which"
    assert "too long" in (found[2].detail or "")
    assert found[3].detail == "the response is empty"


def test_failures_are_sampled_again_with_other_seeds_and_the_rest_stays():
    first, _ = answered(
        sampling(3),
        lambda n: Reply(failure="error", detail="it broke") if n == 1 else f"river {n}",
    )
    second, asked = answered(sampling(3), lambda n: "lake", first)
    assert len(asked) == 1
    assert [one.response for one in second] == ["river 0", "lake", "river 2"]
    assert second[1].seed != first[1].seed
    assert second[1].resampled == 1


def test_more_candidates_are_added_to_those_there_are():
    first, _ = answered(sampling(2), lambda n: f"river {n}")
    second, asked = answered(sampling(4), lambda n: f"lake {n}", first)
    assert len(asked) == 2
    assert second[:2] == first


def test_the_models_system_prompt_is_for_prompts_without_one():
    how = sampling(system="You are brief.", stop=("\n\n",), top_p=0.9, max_tokens=7)
    _, (request, *_) = answered(how, str)
    assert [(turn.role, turn.content) for turn in request.messages] == [
        ("system", "You are brief."),
        ("user", "Name a river."),
    ]
    assert (request.stop, request.top_p, request.max_tokens) == (("\n\n",), 0.9, 7)
    own = (Message(role="system", content="Rhyme."), Message(role="user", content="Go."))
    assert Prompt(id="p", prompt=own).messages("You are brief.") == own


def test_temperature_0_cannot_give_several_candidates():
    with pytest.raises(BadInput, match="temperature 0 makes all 4 candidates the same"):
        sampling(temperature=0.0).check()
    sampling(1, temperature=0.0).check()


@pytest.mark.parametrize(
    ("key", "value", "anew"),
    [
        ("temperature", 0.5, True),
        ("system", "Be brief.", True),
        ("stop", ("x",), True),
        ("top_p", 0.5, True),
        ("max_tokens", 5, True),
        ("model", "n", True),
        ("name", "k", False),
        ("base_url", "http://localhost:1/v1", False),
        ("concurrency", 2, False),
    ],
)
def test_what_changes_a_sample_changes_the_hash(key, value, anew):
    base: dict[str, Any] = {"name": "m", "model": "m"}
    before = Sampling(ModelSpec(**base)).hash
    assert (Sampling(ModelSpec(**{**base, key: value})).hash != before) == anew
    assert Sampling(ModelSpec(**base), n_candidates=9, near=0.5).hash == before


def test_similarity_by_hand():
    # (a b)(b c)(c .) and (a b)(b d)(d .): 1 in common of 5
    assert similarity(word_pairs("a b c"), word_pairs("A, b d!")) == 1 / 5
    assert similarity(word_pairs("a b c"), word_pairs("c b a")) == 0.0
    assert similarity(word_pairs("??"), word_pairs("??")) == 1.0
    # 我(我喜)喜(喜欢)欢(欢河)...: four characters, one differs
    assert similarity(word_pairs("我喜欢河"), word_pairs("我喜欢海")) == 2 / 6
    assert is_near(word_pairs("a b"), [word_pairs("a b")], 1.0)
    assert not is_near(word_pairs("a b"), [], 0.5)

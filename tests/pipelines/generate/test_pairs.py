"""Which candidates become pairs, in which order, and what a second time brings."""

from collections.abc import Sequence

from pipelines.generate.pairs import PairCounts, pairs_of
from pipelines.generate.records import Candidate
from pipelines.records import PreferencePair


def candidate(index: int, response: str | None, model: str = "m", **keys: object) -> Candidate:
    values = {"prompt_id": "p", "prompt": "Name a river.", "settings": "s", "seed": index}
    values |= {"index": index, "response": response, "model": model, **keys}
    return Candidate.model_validate(values)


def made(
    candidates: Sequence[Candidate], known: set[str] | None = None, per_prompt: int = 0
) -> tuple[list[PreferencePair], PairCounts]:
    counts = PairCounts()
    return list(pairs_of([list(candidates)], known or set(), per_prompt, 0, counts)), counts


def test_all_pairs_but_of_equal_responses_and_failures():
    candidates = [
        candidate(0, "The Rhine."),
        candidate(1, "The  Rhine.\n"),
        candidate(2, "The Elbe."),
        candidate(3, "The", failure="truncated"),
        candidate(4, None, failure="error"),
    ]
    pairs, counts = made(candidates)
    assert (len(pairs), counts.n_identical, counts.n_failed) == (2, 1, 2)
    assert {pair.meta["prompt_id"] for pair in pairs} == {"p"}
    assert all(pair.ai == () and pair.human == () for pair in pairs)


def test_models_are_told_apart_and_neither_is_always_a():
    candidates = [
        candidate(index, f"{model} {index}", model) for model in ("m", "n") for index in range(8)
    ]
    pairs, _ = made(candidates)
    assert len({pair.id for pair in pairs}) == len(pairs) == 16 * 15 // 2
    mixed = [pair.model_a for pair in pairs if pair.model_a != pair.model_b]
    assert 16 < mixed.count("m") < 48
    for pair in pairs:
        assert pair.response_a.startswith(pair.model_a or "?")
        assert pair.response_b.startswith(pair.model_b or "?")


def test_a_bounded_number_is_drawn_and_stays_drawn():
    few = [candidate(index, f"river {index}") for index in range(4)]
    pairs, counts = made(few, per_prompt=2)
    assert (len(pairs), counts.n_pairs) == (2, 2)
    again, _ = made(few, per_prompt=2)
    assert again == pairs
    # With more candidates those in the store count first, so no third pair comes.
    more = [*few, *(candidate(index, f"river {index}") for index in range(4, 9))]
    later, _ = made(more, known={pair.id or "" for pair in pairs}, per_prompt=2)
    assert {pair.id for pair in later} == {pair.id for pair in pairs}

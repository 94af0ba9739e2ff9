"""Rows over length are counted and treated as asked; batches of like length lose no row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from pipelines.errors import BadInput
from pipelines.records import Message
from pipelines.train.batching import LengthGrouped
from pipelines.train.lengths import fit
from pipelines.train.rows import DemonstrationRow, PreferenceRow, PromptRow, Rows


@pytest.fixture(scope="module")
def tokenizer(tiny_folder):
    return AutoTokenizer.from_pretrained(tiny_folder)


def pair(n_prompt, n_chosen, n_rejected):
    """The template adds <customer>, <desk> and <end>: 3 tokens."""
    prompt = (Message(role="user", content="refund " * n_prompt),)
    return PreferenceRow(prompt, "order " * n_chosen, "order " * n_rejected)


def rows(*train, **splits):
    return Rows("preference", {"train": list(train), **splits}, len(train), {"tie": 2})


def test_lengths_are_of_the_longer_response(tokenizer):
    found = fit(rows(pair(2, 5, 1), pair(2, 1, 3)), tokenizer, 10, "drop")
    assert found.n_tokens == (10, 8)
    assert found.left_out == {"tie": 2}


def test_a_row_over_length_is_dropped_and_counted_in_every_split(tokenizer):
    long = pair(2, 1, 6)
    found = fit(rows(pair(1, 1, 1), long, test=[long]), tokenizer, 10, "drop")
    assert (len(found.train), found.splits["test"]) == (1, [])
    assert found.left_out == {"tie": 2, "over max_length": 2}


def test_a_row_that_is_cut_must_keep_something_of_its_response(tokenizer):
    # prompt and <customer>, <desk>: 10 tokens fill max_length, 9 leave one for the response
    full, nearly = pair(8, 4, 4), pair(7, 4, 4)
    found = fit(rows(full, nearly), tokenizer, 10, "truncate")
    assert found.train == [nearly]
    assert found.n_tokens == (10,)
    assert found.left_out == {
        "tie": 2, "whose prompt alone fills max_length": 1, "over max_length, cut": 1,
    }  # fmt: skip


def test_refusing_names_how_many_and_the_longest(tokenizer):
    with pytest.raises(BadInput, match=r"1 rows are longer than max_length = 10 tokens .* has 15"):
        fit(rows(pair(1, 1, 1), pair(6, 6, 1)), tokenizer, 10, "refuse")


def test_nothing_left_to_train_on_says_what_was_left_out(tokenizer):
    with pytest.raises(BadInput, match=r"no training row is left of 1 .*2 tie, 1 over max_length"):
        fit(rows(pair(9, 9, 9)), tokenizer, 10, "drop")


def test_a_token_that_the_model_does_not_know_is_refused(tokenizer):
    with pytest.raises(BadInput, match="take the tokenizer that the model was trained with"):
        fit(rows(pair(1, 1, 1)), tokenizer, 10, "drop", vocabulary=4)


def test_demonstrations_and_prompts_are_counted_too(tokenizer):
    prompt = (Message(role="user", content="refund refund"),)
    shown = Rows("demonstration", {"train": [DemonstrationRow(prompt, "order")]}, 1, {})
    asked = Rows("prompt", {"train": [PromptRow(prompt)]}, 1, {})
    assert fit(shown, tokenizer, 99, "drop").n_tokens == (6,)
    assert fit(asked, tokenizer, 99, "drop").n_tokens == (4,)


@given(
    n_tokens=st.lists(st.integers(1, 99), min_size=1, max_size=400), size=st.integers(1, 7),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_length_groups_hold_every_row_once_and_the_longest_first(n_tokens, size, seed):
    sampler = LengthGrouped(n_tokens, size, seed)
    order = list(sampler)
    assert sorted(order) == list(range(len(n_tokens)))
    if len(n_tokens) >= size:
        assert max(n_tokens) in [n_tokens[row] for row in order[:size]]
    assert list(LengthGrouped(n_tokens, size, seed)) == order
    sampler.set_epoch(1)
    assert sorted(sampler) == sorted(order)


def test_length_groups_save_padding_and_change_with_the_epoch():
    n_tokens = [10 + (37 * k) % 90 for k in range(400)]
    sampler = LengthGrouped(n_tokens, 8, 0)
    order = list(sampler)

    def padded(rows_in_order):
        batches = [rows_in_order[k : k + 8] for k in range(0, 400, 8)]
        return sum(len(batch) * max(n_tokens[row] for row in batch) for batch in batches)

    assert padded(order) < 1.1 * sum(n_tokens) < padded(range(400))
    sampler.set_epoch(1)
    assert list(sampler) != order

"""Differences word by word: both texts can be put together again from the pieces."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.constitution.words import marked, word_differences

texts = st.text(st.sampled_from("ab 中文.\n"), max_size=30)


@given(texts, texts)
def test_the_pieces_hold_both_texts(old, new):
    pieces = word_differences(old, new)
    assert "".join(one.text for one in pieces if one.kind != "added") == old
    assert "".join(one.text for one in pieces if one.kind != "removed") == new


def test_whole_words_change_and_chinese_by_the_letter():
    assert marked(word_differences("the cat sat", "the cats sat")) == "the [-cat-]{+cats+} sat"
    assert marked(word_differences("我很好。", "我不好。")) == "我[-很-]{+不+}好。"


def test_long_texts_end_at_once():
    old, new = "a b " * 20_000, "a c " * 20_000
    assert [one.kind for one in word_differences(old, new)] == ["removed", "added"]

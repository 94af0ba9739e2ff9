"""The lines of a judge's log: what is written is read back."""

import json

from hypothesis import given
from hypothesis import strategies as st

from pipelines.judge.log import Mark, judged_line, judgment_of
from pipelines.models.engine import Reply
from pipelines.records import Judgment

MARK = Mark("s" * 32, 17, "p-17", "0" * 16, "ab")

texts = st.text(st.characters(), max_size=50)
probabilities = st.floats(0.0, 1.0)


@given(st.none() | probabilities, st.none() | texts, st.none() | texts)
def test_a_judgment_comes_back_as_it_was(p_a, rationale, raw):
    before = Judgment(
        judge="j", order="ab", label="A", p_a=p_a, rationale=rationale, raw=raw, confidence=0.7
    )
    line = judged_line(MARK, before, Reply(text="x"), None)
    assert line.count(b"\n") == 1
    assert judgment_of(json.loads(line), "j") == before


def test_a_failure_without_words_says_why():
    failed = Judgment(judge="j", order="ab", failure="error")
    line = json.loads(judged_line(MARK, failed, None, "HTTP 500: it broke"))
    assert judgment_of(line, "j") == failed.model_copy(update={"raw": "HTTP 500: it broke"})

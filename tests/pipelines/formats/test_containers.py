"""The array splitter against Python's own parser; bytes read are told."""

import io
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.formats.containers import iter_rows, open_source, split_array

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a"\\{}[],\n é', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(alphabet='a"\\}', max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    rows=st.lists(st.dictionaries(st.text(max_size=3), json_values, max_size=3), max_size=6),
    indent=st.sampled_from([None, 1]),
    chunk=st.integers(min_value=3, max_value=40),
)
@settings(max_examples=150, deadline=None)
def test_the_array_splitter_agrees_with_a_parser_however_the_bytes_arrive(rows, indent, chunk):
    text = json.dumps(rows, indent=indent).encode()
    found = list(split_array(io.BytesIO(text), chunk))
    assert [json.loads(raw) for _, raw in found] == rows
    end = 0
    for line, raw in found:
        start = text.index(raw, end)
        end = start + len(raw)
        assert line == text.count(b"\n", 0, start) + 1


def test_progress_ends_at_the_size_of_the_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n' * 1000)
    seen: list[int] = []
    assert len(list(iter_rows(open_source(path), seen.append))) == 1000
    assert seen == sorted(seen)
    assert seen[-1] == path.stat().st_size


def test_a_csv_may_quote_line_breaks_and_lines_count_them(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes('\ufeffmodel_a,note\r\nx,"one\r\ntwo"\r\ny,é\r\n'.encode())
    assert list(iter_rows(open_source(path))) == [
        (2, {"model_a": "x", "note": "one\r\ntwo"}),
        (4, {"model_a": "y", "note": "é"}),
    ]

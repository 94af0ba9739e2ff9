"""The log of a stage: what is written is read back, whatever happened to the end of the file."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import BadInput
from pipelines.judge.log import KINDS, Mark, judged_line
from pipelines.models.engine import Reply
from pipelines.records import Judgment
from pipelines.stages.log import Spend, StageLog, iter_lines, reply_of, step_line

MARK = Mark("s" * 32, 17, "p-17", "0" * 16, "ab")

texts = st.text(st.characters(), max_size=50)


@given(
    st.builds(Reply, text=texts, prompt_tokens=st.integers(0, 10**6), cost_usd=st.just(0.25))
    | st.builds(Reply, answer_logprobs=st.tuples(st.floats(-9, 0), st.floats(-9, 0)))
    | st.builds(Reply, failure=st.just("refused"), detail=texts, finish=st.just("refused"))
)
def test_a_reply_comes_back_as_it_was(reply):
    assert reply_of(json.loads(step_line(MARK, 2, 1, reply))) == reply


def test_what_lines_account_for_adds_up():
    spend = Spend()
    replies = [
        Reply(text="x", prompt_tokens=10, completion_tokens=5, cost_usd=0.5, tries=3),
        Reply(text="x", prompt_tokens=1, completion_tokens=2),
        Reply(failure="error", detail="no", tries=6),
    ]
    for reply in replies:
        spend.add_line(json.loads(step_line(MARK, 0, 0, reply)))
    judgment = Judgment(judge="j", label="A")
    spend.add_line(json.loads(judged_line(MARK, judgment, replies[0], None)))
    spend.add_line(json.loads(judged_line(MARK, judgment, None, None)))
    assert spend == Spend(
        requests=4, calls=13, prompt_tokens=21, completion_tokens=12, usd=1.0, n_unpriced=1
    )


@given(st.integers(0, 400))
def test_cut_anywhere_the_whole_lines_stay_and_more_can_follow(tmp_path_factory, n_bytes):
    path = tmp_path_factory.mktemp("log") / "j" / "judgments.jsonl"
    path.parent.mkdir()
    lines = [
        judged_line(MARK, Judgment(judge="j", label="A", raw=f"line {k}"), None, None)
        for k in range(3)
    ]
    whole = b"".join(lines)
    path.write_bytes(whole[:n_bytes])
    n_whole = whole[:n_bytes].count(b"\n")
    assert [line is not None for _, line in iter_lines(path, KINDS)] == [True] * n_whole
    log = StageLog(path)
    assert log.torn_bytes == len(whole[:n_bytes]) - len(b"".join(lines[:n_whole]))
    assert log.append(lines[0]) == len(b"".join(lines[:n_whole]))
    log.close()
    assert path.read_bytes() == b"".join(lines[:n_whole]) + lines[0]


def test_a_torn_line_longer_than_a_block_is_cut_off_whole(tmp_path):
    path = tmp_path / "judgments.jsonl"
    path.write_bytes(b'{"kind":"step"}\n' + b"x" * 200_000)
    log = StageLog(path)
    log.close()
    assert log.torn_bytes == 200_000
    assert path.read_bytes() == b'{"kind":"step"}\n'


def test_the_disk_is_told_within_a_second(tmp_path, monkeypatch):
    told: list[float] = []
    real = os.fdatasync

    def fdatasync(descriptor: int) -> None:
        real(descriptor)
        told.append(time.monotonic())

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    log = StageLog(tmp_path / "judgments.jsonl")
    line = judged_line(MARK, Judgment(judge="j", label="A"), None, None)
    time.sleep(0.7)
    assert told == []  # nothing was written
    log.append(line)
    written = time.monotonic()
    time.sleep(0.9)
    assert len(told) == 1
    assert told[0] - written < 1.0
    log.close()


FULL = """
import resource, sys
from pathlib import Path
from pipelines.errors import BadInput
from pipelines.judge.log import Mark, judged_line
from pipelines.stages.log import StageLog
from pipelines.records import Judgment
line = judged_line(Mark("s", 1, "p", "0", "ab"), Judgment(judge="j", label="A"), None, None)
resource.setrlimit(resource.RLIMIT_FSIZE, (10 * len(line) + 30, resource.RLIM_INFINITY))
log = StageLog(Path(sys.argv[1]))
try:
    for _ in range(100):
        log.append(line)
except BadInput as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_is_one_sentence_and_leaves_whole_lines(tmp_path):
    path = tmp_path / "judgments.jsonl"
    child = subprocess.run(
        [sys.executable, "-c", FULL, str(path)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot be written" in child.stdout
    assert "make room, then run again" in child.stdout
    assert [line is not None for _, line in iter_lines(path, KINDS)] == [True] * 10
    assert path.read_bytes().endswith(b"\n")


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "runs").write_text("a file in the way")
    with pytest.raises(BadInput, match="cannot be written"):
        StageLog(tmp_path / "runs" / "judgments.jsonl")

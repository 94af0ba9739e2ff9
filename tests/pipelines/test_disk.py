"""Files that are whole, and locks that say whose they are."""

import os

import pytest

from pipelines.disk import sole, write_whole
from pipelines.errors import BadInput


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "manifest.json"
    write_whole(path, "first")
    write_whole(path, "naïve")
    assert path.read_text(encoding="utf-8") == "naïve"
    assert list(tmp_path.iterdir()) == [path]


def test_a_second_one_is_told_who_holds_the_lock_until_the_first_is_done(tmp_path):
    def busy(process):
        return BadInput(f"process {process} holds it")

    path = tmp_path / "lock"
    with path.open("a+") as first, path.open("a+") as second:
        told = pytest.raises(BadInput, match=f"process {os.getpid()} holds it")
        with sole(first, busy), told, sole(second, busy):
            pytest.fail("two hold it")
        assert path.read_text() == ""
    with path.open("a+") as third, sole(third):
        assert path.read_text() == str(os.getpid())

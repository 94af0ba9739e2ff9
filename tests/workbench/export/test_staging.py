"""Files are whole or not there, also on a full disk."""

import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import CurateSection
from pipelines.errors import BadInput
from workbench.export.options import ExportOptions, policy_of
from workbench.export.run import run_export
from workbench.export.staging import Staging


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file may grow past 4 kB: writing fails as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("name", ["trl", "jsonl", "parquet", "hf-folder", "pairs"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, new_project: Any, pair_rows: Any, request: pytest.FixtureRequest, name: str
) -> None:
    project = new_project(tmp_path / "p", pair_rows())
    assert project.engine is not None  # the database is made before the disk fills up
    fmt, policy = policy_of(name, CurateSection())
    out = tmp_path / "out" / "set"
    request.getfixturevalue("full_disk")
    with pytest.raises(BadInput, match=r"cannot be written .*File too large"):
        run_export(project, ExportOptions(fmt=fmt, policy=policy, out=out))
    assert list(out.parent.iterdir()) == []


def test_publishing_keeps_what_stood_there_until_the_new_files_are_whole(tmp_path: Path) -> None:
    place = tmp_path / "a.txt"
    place.write_text("old")

    def stopped_half_way() -> None:
        with Staging(place) as staging:
            staging.write("a.txt", "new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_half_way()
    assert place.read_text() == "old"
    with Staging(place) as staging:
        staging.write("a.txt", "new")
        staging.publish({staging.folder / "a.txt": place})
    assert place.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]

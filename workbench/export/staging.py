"""Files that are whole or not there: everything is written beside its place and renamed last."""

import os
import shutil
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from pipelines.errors import BadInput


class Staging:
    """A temporary folder beside the target; `publish` moves what is in it into place.

    Whatever goes wrong before that, the target stays as it was and nothing is left behind.
    """

    def __init__(self, beside: Path):
        self.beside = beside
        self.folder = beside.parent / f".{beside.name}.{uuid.uuid4().hex[:8]}.part"

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True)
        except OSError as error:
            raise BadInput(
                f"{self.folder.parent}: cannot be written ({error.strerror}); choose another --out"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.folder)
        if isinstance(error, OSError):
            raise BadInput(
                f"{self.beside}: cannot be written ({error}); free space or choose another place, "
                "what was there before is untouched"
            ) from error

    def write(self, name: str, text: str) -> None:
        """A small text file."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def publish(self, moves: dict[Path, Path]) -> None:
        """Rename files or folders of this folder to their places, in the order given."""
        for staged, target in moves.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            if not (staged.is_dir() and target.exists()):
                os.replace(staged, target)
                continue
            old = self.folder / f"old-{target.name}"  # a folder cannot replace a full one
            target.rename(old)
            try:
                os.replace(staged, target)
            except OSError:
                old.rename(target)
                raise

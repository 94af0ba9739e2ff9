"""A training run's folder: what was asked, how far it is, what came out.

runs/train/NAME/run.json         resolved settings, data and model with their hashes, versions
                curves.jsonl     the curves
                checkpoints/     the trainer's own, to go on from; gone when it is done
                model/           the trained model, once it is done
                adapter/         with LoRA: the small matrices, which model/ has merged in
                result.json      final figures; exists only when the run is done
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import BadInput
from pipelines.provenance import git_revision, program_version

RUN, RESULT, MODEL, CHECKPOINTS = "run.json", "result.json", "model", "checkpoints"
# A checkpoint is whole when the trainer's state, which is written last, can be read.
_STATE = "trainer_state.json"
# These follow from settings, data and machine.
_FOLLOWS = ("n_rows", "left_out", "memory_estimate_bytes", "program")


@dataclass(frozen=True)
class RunFolder:
    """One run's folder."""

    path: Path

    @property
    def model(self) -> Path:
        """Where the trained model goes."""
        return self.path / MODEL

    @property
    def checkpoints(self) -> Path:
        """Where the trainer keeps its checkpoints."""
        return self.path / CHECKPOINTS

    def result(self) -> dict[str, Any] | None:
        """The final figures; None while the run is not done."""
        return _read(self.path / RESULT)

    def asked(self) -> dict[str, Any] | None:
        """What `begin` wrote; None for a run that never began."""
        return _read(self.path / RUN)

    def begin(self, asked: Mapping[str, Any]) -> bool:
        """Make the folder, or go on with a run that was asked for the same.

        Args:
            asked: Resolved settings and hashes of what goes in, as JSON values.

        Returns:
            Whether there is something to go on from.

        Raises:
            BadInput: The folder holds another run, or cannot be written.
        """
        before = self.asked()
        if before is not None:
            if changed := _changed(before, _plain(asked)):
                raise BadInput(
                    f"{self.path}: was begun with another {', '.join(changed)}; give this run a "
                    "--name of its own, or delete that folder"
                )
            return True
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{self.path}: cannot be written ({error.strerror})") from error
        program = {"version": program_version(), "git_revision": git_revision()}
        write_json(self.path / RUN, {**asked, "program": program})
        return False

    def checkpoint(self) -> Path | None:
        """The newest whole checkpoint; one that a kill cut off is passed over."""
        whole = [
            (int(folder.name.rpartition("-")[2]), folder)
            for folder in self.checkpoints.glob("checkpoint-*")
            if folder.name.rpartition("-")[2].isdecimal() and _read(folder / _STATE) is not None
        ]
        return max(whole)[1] if whole else None

    def finish(self, result: Mapping[str, Any]) -> None:
        """Say that the run is done; the model must stand already. Checkpoints have served."""
        write_json(self.path / RESULT, result)
        shutil.rmtree(self.checkpoints, ignore_errors=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, path)


def content_hash(*paths: Path) -> str:
    """SHA-256 of files, or of folders' files with their names, in order of names."""
    digest = hashlib.sha256()
    for path in paths:
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        for file in files:
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def run_named(project_dir: Path, name: str) -> RunFolder:
    """The folder of a project's training run.

    Raises:
        BadInput: The name is none that a folder may have: the run would stand somewhere else.
    """
    if not name or name != Path(name).name or name.startswith("."):
        raise BadInput(f'"{name}" cannot be the name of a training run; use letters and digits')
    return RunFolder(project_dir / "runs" / "train" / name)


def runs_of(project_dir: Path) -> list[RunFolder]:
    """The training runs of a project, by name."""
    parent = project_dir / "runs" / "train"
    return [RunFolder(run.parent) for run in sorted(parent.glob(f"*/{RUN}"))]


def _changed(before: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """What makes this another run, by name: other content and settings, not other paths to it."""
    names = []
    for key, value in asked.items():
        told_by_hash = key in ("data", "model") and asked.get(f"{key}_hash") is not None
        if key in _FOLLOWS or told_by_hash or key not in before or before[key] == value:
            continue
        if key == "settings" and isinstance(before[key], dict):
            names += [f"[train] {name}" for name in _differing(before[key], value)]
        else:
            names.append(key.replace("_hash", ""))
    return names


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Keys whose values differ, those of tables with a dot."""
    names = []
    for key in now:
        if isinstance(now[key], dict) and isinstance(before.get(key), dict):
            names += [f"{key}.{inner}" for inner in _differing(before[key], now[key])]
        elif key != "model" and key in before and before[key] != now[key]:
            names.append(key)
    return names


def _plain(value: Any) -> Any:
    """The value as JSON gives it back."""
    return json.loads(json.dumps(value))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) else None

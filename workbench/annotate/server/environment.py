"""The virtual environment of Argilla's server: locked, made once, under the user's cache.

The server cannot share ours: it needs older releases of what both need. It is built beside its
place and moved there when it is whole, so a half-made one is never used and is made again.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import BadInput, ServiceFailed

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
GUEST = Path(__file__).with_name("guest")
_NO_NETWORK = (
    "NewConnectionError",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "Max retries exceeded",
    "ReadTimeoutError",
    "ConnectTimeoutError",
    "ProxyError",
    "Network is unreachable",
)

Report = Callable[[int, int], None]


def requirements() -> list[str]:
    """The pinned packages, one `name==version` each."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def cache_dir() -> Path:
    """Where environments are kept: `$XDG_CACHE_HOME/rlaif-workbench`, else under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "rlaif-workbench"


def place() -> Path:
    """Where the environment of this lock file and this Python stands, or will."""
    wanted = f"{sys.version_info[:2]} {sys.platform} {os.uname().machine} {requirements()}"
    return cache_dir() / f"argilla-server-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"


def installed() -> Path | None:
    """The environment's Python, or None while there is none."""
    python = place() / "bin" / "python"
    return python if python.exists() else None


def ensure(on_progress: Report) -> Path:
    """The environment's Python; makes the environment where there is none.

    Args:
        on_progress: Called with the number of packages begun and of all, while it is made.

    Raises:
        ServiceFailed: The package index could not be reached, or lacks a package.
        BadInput: The cache cannot be written, or the disk is full.
    """
    found = installed()
    if found is not None:
        return found
    target = place()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target.with_suffix(".lock")):
            # Somebody else may have made it while we waited.
            return installed() or _make(target, on_progress)
    except OSError as error:
        raise BadInput(
            f"{target.parent}: the environment of Argilla's server cannot be written "
            f"({error.strerror or error}); make room, or name another cache by XDG_CACHE_HOME"
        ) from error


@contextmanager
def _alone(lock_path: Path) -> Iterator[None]:
    with lock_path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(target: Path, on_progress: Report) -> Path:
    part = target.with_suffix(".part")
    if part.exists():  # of a run that was cut off
        shutil.rmtree(part)
    _run([sys.executable, "-m", "venv", str(part)], lambda _: None)
    python = part / "bin" / "python"
    n_all, n_begun = len(requirements()), 0
    on_progress(0, n_all)

    def on_line(line: str) -> None:
        nonlocal n_begun
        if line.startswith("Collecting "):
            n_begun += 1
            on_progress(min(n_begun, n_all), n_all)

    options = ["--no-deps", "--only-binary", ":all:", "--progress-bar", "off", "--no-input"]
    quick = ["--disable-pip-version-check", "--retries", "2", "--timeout", "20"]
    _run([str(python), "-m", "pip", "install", *options, *quick, "-r", str(REQUIREMENTS)], on_line)
    part.rename(target)
    return target / "bin" / "python"


def _run(command: list[str], on_line: Callable[[str], None]) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    said = []
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        try:
            for line in process.stdout or ():
                said.append(line.rstrip())
                on_line(line)
            code = process.wait()
        finally:
            process.kill()
    if code:
        raise _failure(said)


def _failure(said: list[str]) -> BadInput | ServiceFailed:
    """What pip's last words mean for the one who waits."""
    text = "\n".join(said[-200:])
    if "No space left on device" in text:
        return BadInput(
            f"{cache_dir()}: the disk is full; Argilla's server needs about 700 MB there, or name "
            "another place by XDG_CACHE_HOME"
        )
    if any(sign in text for sign in _NO_NETWORK):
        return ServiceFailed(
            "Argilla's server must be downloaded once, and the package index cannot be reached; "
            "connect this machine and run the same command again"
        )
    errors = [line for line in said if re.match(r"\s*ERROR", line)] or said[-1:] or ["no reason"]
    return ServiceFailed(
        f"Argilla's server could not be installed: {errors[-1].strip()}; "
        "run the same command again when that is mended"
    )

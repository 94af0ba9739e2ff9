"""Which program wrote a file: its version and, in a checkout, its git revision."""

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTION = "rlaif-workbench"


def program_version() -> str:
    """The installed version, or "unknown" when the program runs without being installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def git_revision() -> str | None:
    """The commit of the program's own checkout; None for an installed copy or without git."""
    checkout = Path(__file__).resolve().parents[1]
    if not (checkout / ".git").exists():  # an installed copy may lie inside another repository
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(checkout), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None

"""Argilla's own server with our search engine and our guard, told by one JSON argument.

python -m workbench_argilla '{"socket": 5, "report": 6, "lock": "...", ...}'
"""

import fcntl
import json
import os
import sys
from pathlib import Path
from typing import Any


def _report(descriptor: int, **said: Any) -> None:
    with os.fdopen(descriptor, "w") as pipe:
        pipe.write(json.dumps(said) + "\n")


def main() -> None:
    """Serve until a signal says stop."""
    told = json.loads(sys.argv[1])
    report: int = told["report"]
    lock = Path(told["lock"]).open("a")  # noqa: SIM115 - held for as long as the process lives
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _report(report, running=True)
        return
    if not os.environ.get("ARGILLA_REDIS_URL"):
        from . import stand_in

        os.environ["ARGILLA_REDIS_URL"] = stand_in.start()
    from . import serving

    serving.run(told, lambda **said: _report(report, **said))


if __name__ == "__main__":
    main()

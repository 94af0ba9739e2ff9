"""Planted biases, errors and people beside what the audit measures of them, as a table.

    python benchmarks/selftest.py [--worlds 2000] [--seed 0] [--jobs 1]

The same as `workbench selftest`, with the machine named below the table.
"""

import argparse
import platform
import sys

import numpy
import scipy

from workbench.selftest.run import N_WORLDS, run_selftest
from workbench.selftest.text import lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--worlds", type=int, default=N_WORLDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    report = run_selftest(
        options.worlds,
        options.seed,
        n_jobs=options.jobs,
        on_progress=lambda what, done, total: print(f"{done}/{total} {what}", file=sys.stderr),
    )
    print("\n".join(lines(report)))
    print(
        f"\nPython {platform.python_version()}, numpy {numpy.__version__}, "
        f"scipy {scipy.__version__}, {platform.machine()}."
    )
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())

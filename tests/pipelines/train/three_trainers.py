"""Run alone and by `accelerate launch`: `workbench train` for several methods, one after another.

Arguments: the project's folder, the ending of the runs' names, the methods.
"""

import sys

from workbench.cli.main import main

project, ending, *methods = sys.argv[1:]
for method in methods:
    sys.argv = ["workbench", "train", method, "--project", project, "--name", method + ending]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise

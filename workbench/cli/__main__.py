"""`python -m workbench.cli`: the command line where no script was installed."""

from workbench.cli.main import main

main()

"""Every error that a person may see. A message is one sentence: what, where, what to do."""


class WorkbenchError(Exception):
    """Base of all our errors; the command line prints the message and exits with `exit_code`."""

    exit_code = 2


class BadInput(WorkbenchError):
    """A file, an option or a value cannot be used as it is."""


class ServiceFailed(WorkbenchError):
    """An outside service still failed after bounded retries; everything done so far is kept."""

    exit_code = 3


class Undefined(WorkbenchError):
    """A statistic has no value for these data (no rows, no variation): never reported as 0."""

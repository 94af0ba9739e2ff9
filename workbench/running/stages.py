"""Each stage of `workbench run` by its name.

The functions are those that the commands call, so that what a command did is not done again.
"""

from collections.abc import Callable, Mapping

from pipelines.run import StageName
from workbench.running.learning import export, pairs, train
from workbench.running.making import audit, generate, judge, revise
from workbench.running.measuring import evaluate
from workbench.running.task import Did, Task

DO: Mapping[StageName, Callable[[Task], Did]] = {
    "generate": generate,
    "revise": revise,
    "judge": judge,
    "audit": audit,
    "pairs": pairs,
    "export": export,
    "train": train,
    "evaluate": evaluate,
}

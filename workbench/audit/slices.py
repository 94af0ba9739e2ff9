"""The slices a round reads agreement on: task complexity, subset, source, or any key of `meta`."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipelines.errors import BadInput
from workbench.audit.design import SliceCount
from workbench.project import Project

COMPLEXITY = ("simple", "medium", "complex")
ALWAYS = ("complexity", "subset", "source")  # kept with every item, declared or not
MAX_VALUES = 50  # a slice with more values is an identifier, not a slice

# Where `meta.complexity` says nothing, it is estimated by how much there is to read: up to 1,000
# characters of prompt and responses are simple (a glance), up to 4,000 medium (a page), above that
# complex. Crude on purpose: no model is needed and it is the same in every project; a project that
# knows better writes `meta.complexity`.
SIMPLE_UP_TO, MEDIUM_UP_TO = 1_000, 4_000


def slice_values(project: Project, name: str, n_imported: int) -> npt.NDArray[np.object_]:
    """The value of one slice for each imported pair, "" where it has none. Shape (n_imported,)."""
    if name == "complexity":
        return _complexity(project, n_imported)
    if name.startswith("meta."):
        found = project.store.meta_values(name.removeprefix("meta."))
    else:
        found = project.store.features()[name]
    return np.array(
        ["" if value is None else str(value) for value in found[:n_imported]], dtype=object
    )


def _complexity(project: Project, n_imported: int) -> npt.NDArray[np.object_]:
    features = project.store.features()
    n_chars = features["chars_prompt"] + features["chars_a"] + features["chars_b"]
    names: npt.NDArray[np.object_] = np.array(COMPLEXITY, dtype=object)
    found = names[np.searchsorted((SIMPLE_UP_TO, MEDIUM_UP_TO), n_chars[:n_imported])]
    given = project.store.meta_values("complexity")[:n_imported]
    for row in np.flatnonzero(given != None):  # noqa: E711  # elementwise
        value = str(given[row]).lower()
        if value in COMPLEXITY:
            found[row] = value
    return np.asarray(found)


def count_values(
    values: npt.NDArray[np.object_], name: str, *, declared: bool
) -> SliceCount | None:
    """How often each value stands in a population; None where the slice says nothing.

    Raises:
        BadInput: A declared slice has so many values that no reader could use it.
    """
    counts = Counter(value for value in values.tolist() if value)
    if declared and len(counts) > MAX_VALUES:
        raise BadInput(
            f"slice {name!r} has {len(counts)} values and at most {MAX_VALUES} can be read; "
            "declare a coarser one"
        )
    if not counts or (not declared and not 1 < len(counts) <= MAX_VALUES):
        return None
    return SliceCount(name=name, declared=declared, counts=dict(sorted(counts.items())))


def check_names(names: Sequence[str]) -> None:
    """Refuse a slice that cannot exist.

    Raises:
        BadInput: A name is neither a standard slice nor a key of meta.
    """
    for name in names:
        if name not in ALWAYS and not name.startswith("meta."):
            raise BadInput(f"no slice is called {name!r}; declare {', '.join(ALWAYS)} or meta.KEY")

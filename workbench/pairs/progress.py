"""What long work over the pairs calls with pairs done and pairs in all."""

from collections.abc import Callable

OnPair = Callable[[int, int], None]


def nobody(n_done: int, n_all: int) -> None:
    """Nobody is looking."""

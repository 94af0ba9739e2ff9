"""The sandbox: a help desk in which every reply has a true score and every pair a true preference.

What other modules need of it: `grammar` writes and reads texts, `scoring` knows the truth.
"""

from pipelines.sandbox.grammar import (
    Kind,
    Situation,
    compose,
    draw_faults,
    draw_reply,
    draw_situation,
    find_situation,
    read_situation,
)
from pipelines.sandbox.scoring import (
    PRINCIPLES,
    WEIGHTS,
    applies,
    faults,
    mend,
    score,
    true_preference,
    truth,
)

__all__ = [
    "PRINCIPLES",
    "WEIGHTS",
    "Kind",
    "Situation",
    "applies",
    "compose",
    "draw_faults",
    "draw_reply",
    "draw_situation",
    "faults",
    "find_situation",
    "mend",
    "read_situation",
    "score",
    "true_preference",
    "truth",
]

"""What the page about revision reads: the run's numbers, and trajectories one at a time.

A run may hold gigabytes of text. The pages keep an index in memory, and read what they show.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from pydantic import ValidationError

from pipelines.agreement.estimate import Estimate
from pipelines.constitution.records import Constitution
from pipelines.constitution.runner import ReviseFolder
from pipelines.constitution.trajectory import Critique, Trajectory
from pipelines.constitution.words import Piece
from pipelines.errors import BadInput
from workbench.audit.critiques import critique_id

_STARTS_CHARS = 80
# Beneath the letters, so that light and dark themes both keep their contrast.
_MARKS = {
    "removed": '<del style="background:rgba(213,94,0,.28)">{}</del>',
    "added": '<ins style="background:rgba(0,158,115,.28)">{}</ins>',
    "same": "{}",
}


@dataclass(frozen=True)
class RunNumbers:
    """`statistics.json`."""

    constitution: Constitution
    values: dict[str, Any]

    def estimate(self, key: str) -> Estimate | None:
        """One of its estimates."""
        return as_estimate(self.values[key])


@dataclass(frozen=True)
class RunIndex:
    """Where trajectories and critiques are.

    `trajectories`: offset, id, ending, rounds, violated (ids, at first), left (ids, at last),
    changed, starts. `critiques`: offset, round, place, id, principle, verdict, draw (its rank in a
    random order that is the same for everybody).
    """

    trajectories: pd.DataFrame
    critiques: pd.DataFrame


def as_estimate(value: dict[str, Any] | None) -> Estimate | None:
    """An estimate as it stands in JSON."""
    return None if value is None else Estimate(**value)


def numbers(folder: ReviseFolder) -> RunNumbers | None:
    """The run's numbers; None before the first run.

    Raises:
        BadInput: The file is damaged.
    """
    try:
        values = json.loads(folder.statistics.read_text(encoding="utf-8"))
        return RunNumbers(Constitution.model_validate(values["constitution"]), values)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError) as error:
        raise BadInput(
            f"{folder.statistics}: damaged, or written by another version of the program; run "
            "`workbench revise` again, which asks nothing twice"
        ) from error


def index(folder: ReviseFolder) -> RunIndex:
    """The index of the trajectories' file as it is now."""
    try:
        state = folder.trajectories.stat()
    except FileNotFoundError:
        return _index(folder.trajectories, 0, 0)
    return _index(folder.trajectories, state.st_mtime_ns, state.st_size)


def trajectory_at(folder: ReviseFolder, offset: int) -> Trajectory:
    """The trajectory of the line at `offset`.

    Raises:
        BadInput: The file was replaced since it was indexed.
    """
    try:
        with folder.trajectories.open("rb") as file:
            file.seek(offset)
            return Trajectory.model_validate_json(file.readline())
    except (OSError, ValidationError) as error:
        raise BadInput(
            f"{folder.trajectories}: was written anew just now; load the page again"
        ) from error


def difference_html(pieces: list[Piece], side: str) -> str:
    """One side of a difference as safe HTML: what it has, with what the other lacks marked.

    Args:
        pieces: Of both.
        side: "removed" for the old text, "added" for the new one, "both" for one text of both.
    """
    shown = [one for one in pieces if one.kind in ("same", side) or side == "both"]
    body = "".join(_MARKS[one.kind].format(escape(one.text)) for one in shown)
    return f'<div style="white-space:pre-wrap;overflow-wrap:anywhere">{body}</div>'


@st.cache_data(show_spinner="Reading the trajectories", max_entries=4)
def _index(path: Path, mtime_ns: int, n_bytes: int) -> RunIndex:
    rows, critiques, offset = [], [], 0
    with (path if n_bytes else Path(os.devnull)).open("rb") as file:
        for line in file:
            one = Trajectory.model_validate_json(line)
            rows.append(
                {
                    "offset": offset,
                    "id": one.id,
                    "ending": one.ending,
                    "rounds": one.n_revised,
                    "violated": tuple(each.principle for each in one.rounds[0].violated()),
                    "left": tuple(each.principle for each in one.rounds[-1].violated()),
                    "changed": one.changed,
                    "starts": _start(one),
                }
            )
            critiques += _critiques(one, offset)
            offset += len(line)
    table = pd.DataFrame(
        critiques, columns=["offset", "round", "place", "id", "principle", "verdict", "draw"]
    )
    # The same critique of the same text (a round that changed nothing) is judged once.
    table = table.drop_duplicates("id").sort_values("draw", ignore_index=True)
    names = ["offset", "id", "ending", "rounds", "violated", "left", "changed", "starts"]
    return RunIndex(pd.DataFrame(rows, columns=names), table)


def _critiques(one: Trajectory, offset: int) -> list[tuple[int, int, int, str, str, str, str]]:
    found = list[tuple[int, int, int, str, str, str, str]]()
    for number, each in enumerate(one.rounds):
        for place, critique in enumerate(each.critiques):
            if critique.verdict is not None:
                id = critique_id(one.response, each.text, critique)
                draw = hashlib.sha256(f"draw {id}".encode()).hexdigest()
                row = (offset, number, place, id, critique.principle, critique.verdict, draw)
                found.append(row)
    return found


def critique_at(one: Trajectory, number: int, place: int) -> tuple[str, Critique]:
    """A critique, and the text that it is about."""
    return one.rounds[number].text, one.rounds[number].critiques[place]


def _start(one: Trajectory) -> str:
    prompt = one.response.prompt
    text = prompt if isinstance(prompt, str) else prompt[-1].content if prompt else ""
    return " ".join(text.split())[:_STARTS_CHARS]

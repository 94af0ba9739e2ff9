"""`runs/recipes/NAME.json`: of each step what went into it, how long it took, what it said."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.agreement.estimate import Estimate
from pipelines.errors import BadInput
from pipelines.train.run_folder import write_json

FOLDER = Path("runs") / "recipes"


class Kept(BaseModel):
    """What is kept of a step.

    Attributes:
        went_in: A hash of all that it depends on, as the project was when it was done.
        own: The same without what later steps may change; see `depends.settled`.
        done: False from when it begins until it ends.
        at: Unix seconds.
        seconds: It took.
        lines: It said.
        gain: As in `Did`.
        figures: As in `Did`.
        weights: Of the models that answered, the hashes of those that are folders.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    went_in: str
    own: str
    done: bool
    at: float
    seconds: float = 0.0
    lines: tuple[str, ...] = ()
    gain: Estimate | None = None
    figures: dict[str, Any] = Field(default_factory=dict)
    weights: dict[str, str | None] = Field(default_factory=dict)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: dict[str, Kept]


@dataclass
class History:
    """The file, read once and written after every change."""

    path: Path
    steps: dict[str, Kept] = field(default_factory=dict)

    @classmethod
    def read(cls, project_dir: Path, name: str) -> "History":
        """What a recipe has done in a project so far.

        Raises:
            BadInput: The file is damaged.
        """
        path = project_dir / FOLDER / f"{name}.json"
        try:
            found = _File.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls(path)
        except (OSError, ValidationError) as error:
            raise BadInput(
                f"{path}: damaged, or of another version; delete it: each step then finds by "
                "itself what it did"
            ) from error
        return cls(path, dict(found.steps))

    def keep(self, key: str, kept: Kept) -> None:
        """Write down what is known of a step.

        Raises:
            BadInput: The file cannot be written.
        """
        self.steps[key] = kept
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            steps = {key: one.model_dump(mode="json") for key, one in self.steps.items()}
            write_json(self.path, {"steps": steps})
        except OSError as error:
            raise BadInput(
                f"{self.path}: cannot be written ({error.strerror}); make room"
            ) from error


def begun(went_in: str, own: str, weights: dict[str, str | None]) -> Kept:
    """A step that begins now."""
    return Kept(went_in=went_in, own=own, done=False, at=time.time(), weights=weights)

"""The tiny model as a folder: made by one command, with a record of how and how well it speaks."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import transformers

from pipelines.errors import BadInput
from pipelines.sandbox.tiny_model import save
from pipelines.sandbox.tiny_model_check import Check, check
from pipelines.sandbox.tiny_model_training import Recipe, train

RECORD = "training.json"
_LAST = 50  # steps whose mean loss is written down


@dataclass(frozen=True)
class Made:
    """A trained model's folder, its mean loss over the last steps, and its check."""

    folder: Path
    n_parameters: int
    loss: float
    checked: Check


def make_folder(
    folder: Path, recipe: Recipe, on_step: Callable[[int, int], None] | None = None
) -> Made:
    """Train a tiny model into a new folder; one that was cut off leaves nothing there.

    Args:
        folder: Not there yet, or empty.
        recipe: How it is trained.
        on_step: Called with steps done and all.

    Raises:
        BadInput: The folder holds something, or cannot be written.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise BadInput(f"{folder}: is there already and is left alone; name a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise BadInput(
            f"{folder}: cannot be written ({error.strerror}); name another folder"
        ) from error
    try:
        trained = train(recipe, lambda done, _: on_step and on_step(done, recipe.steps))
        checked = check(trained.model, trained.tokenizer, skill=recipe.skill)
        save(trained.model, trained.tokenizer, building)
        last = trained.losses[-_LAST:]
        made = Made(folder, trained.model.num_parameters(), sum(last) / len(last), checked)
        (building / RECORD).write_text(_record(made, recipe), encoding="utf-8")
        # mkdtemp and safetensors keep others out; a model need not.
        for file in building.iterdir():
            file.chmod(0o644)
        building.chmod(0o755)
        os.rename(building, folder)
    except OSError as error:
        raise BadInput(
            f"{folder}: cannot be written ({error.strerror}); name another folder"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return made


def _record(made: Made, recipe: Recipe) -> str:
    said = {
        "command": f"workbench sandbox train-model OUT --steps {recipe.steps} "
        f"--batch {recipe.batch} --skill {recipe.skill} --seed {recipe.seed}",
        "recipe": asdict(recipe),
        "n_parameters": made.n_parameters,
        "n_demonstrations": recipe.steps * recipe.batch,
        "loss_last_50_steps": round(made.loss, 4),
        **made.checked.as_json(),
        "versions": {
            "torch": str(torch.__version__).split("+")[0],
            "transformers": transformers.__version__,
        },
    }
    return json.dumps(said, indent=1) + "\n"

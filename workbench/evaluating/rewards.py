"""What a reward model says of pairs. The one module of evaluation that loads torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.agreement.annotations import FloatArray
from pipelines.errors import BadInput
from pipelines.records import Message, PreferencePair
from pipelines.train.needs import require_trainers
from pipelines.train.run_folder import MODEL, RunFolder, content_hash


def trained_on(folder: Path, project_dir: Path) -> set[str] | None:
    """The texts of the prompts that a reward model learnt from; None where nobody knows any more.

    A file that was exported anew since may hold other prompts for training: taken at its word, it
    would call held out what the model was trained on.

    Args:
        folder: Of its training run.
        project_dir: What its data's path is relative to.

    Raises:
        BadInput: The run's data cannot be read any more, so nothing is known to be held out.
    """
    require_trainers()
    from pipelines.train.row_files import row_files
    from pipelines.train.rows import read_rows

    asked = RunFolder(folder).asked()
    if asked is None:
        raise BadInput(f"{folder}: is no training run; run `workbench train reward` first")
    data = project_dir / str(asked["data"])
    if asked.get("data_hash") != content_hash(*(file for _, file in row_files(data))):
        return None
    rows = read_rows(data, "preference")
    return {"\n".join(turn.content for turn in row.prompt) for row in rows.train}


def rewards_of(folder: Path, pairs: Sequence[PreferencePair]) -> tuple[FloatArray, FloatArray]:
    """Rewards of both responses, two arrays of shape (n_pairs,).

    Raises:
        BadInput: The model cannot be loaded.
    """
    require_trainers()
    if not pairs:
        return np.zeros(0), np.zeros(0)
    from pipelines.train.loading import load_model, start_from
    from pipelines.train.reward import rewards
    from pipelines.train.settings import TrainSettings

    settings = TrainSettings(model=str(folder / MODEL))
    start = start_from(settings, folder)
    model = load_model(start, settings, "reward").to(start.device)
    asked = RunFolder(folder).asked() or {}
    length = int(dict(asked.get("settings") or {}).get("max_length", settings.max_length))
    told = [(_turns(pair), text) for pair in pairs for text in (pair.response_a, pair.response_b)]
    found = np.array(rewards(model, start.tokenizer, told, length), dtype=np.float64)
    return found[0::2], found[1::2]


def _turns(pair: PreferencePair) -> tuple[Message, ...]:
    if isinstance(pair.prompt, str):
        return (Message(role="user", content=pair.prompt),)
    return pair.prompt

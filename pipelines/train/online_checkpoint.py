"""Checkpoints of PPO: policy, critic, optimizer, prices.

Chance needs no keeping: each step draws from a generator of its own. Frozen weights (LoRA) are
those of the start and are not written.
"""

import json
import shutil
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from pipelines.train.ppo import ActorCritic, State
from pipelines.train.run_folder import RunFolder, write_json

_WEIGHTS, _STATE = "weights.pt", "trainer_state.json"


def save(folder: RunFolder, model: ActorCritic, optimizer: Any, state: State) -> None:
    """Write one; its last file says that it is whole, and then older ones go."""
    place = folder.checkpoints / f"checkpoint-{state.step}"
    if (place / _STATE).is_file():  # of this step already, and perhaps the only one there is
        return
    shutil.rmtree(place, ignore_errors=True)  # what a kill left half-written
    place.mkdir(parents=True)
    kept = {"model": _trained(model), "optimizer": optimizer.state_dict()}
    torch.save(kept, place / _WEIGHTS)
    write_json(place / _STATE, asdict(state))
    for other in folder.checkpoints.glob("checkpoint-*"):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)


def resume(folder: RunFolder, model: ActorCritic, optimizer: Any, start: State) -> State:
    """Put the newest whole checkpoint into the models, and return its state; else `start`."""
    place = folder.checkpoint()
    if place is None:
        return start
    kept = torch.load(place / _WEIGHTS, weights_only=True, map_location=model.actor.device)
    with torch.no_grad():
        for name, weight in _trained(model).items():
            weight.copy_(kept["model"][name])
    optimizer.load_state_dict(kept["optimizer"])
    state = json.loads((place / _STATE).read_text(encoding="utf-8"))
    # A run that an earlier version began had no baseline: its critic knows whole rewards.
    return State(**{"baseline": 0.0, **state})


def _trained(model: ActorCritic) -> dict[str, Tensor]:
    """The weights that are trained, tied ones once."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}

"""Tiny random models as folders, for the tests of the local engine."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

# Before transformers is imported: the tests need no hub, and say so.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch

TINY = Path(__file__).parents[3] / "benchmarks" / "tiny_models.py"


def _tiny() -> ModuleType:
    # Shared with the benchmark, so that both run the same kind of folder.
    spec = importlib.util.spec_from_file_location("tiny_models", TINY)
    if spec is None or spec.loader is None:
        raise ImportError(f"{TINY} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules["tiny_models"] = module
    spec.loader.exec_module(module)
    return module


tiny_models = _tiny()
torch.set_num_threads(1)  # more are many times slower for tiny models


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny llama and a ChatML tokenizer."""
    return Path(tiny_models.make_model(tmp_path_factory.mktemp("models") / "llama", "llama"))


@pytest.fixture(scope="session")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a tiny qwen2."""
    return Path(tiny_models.make_model(tmp_path_factory.mktemp("models") / "qwen2", "qwen2"))


@pytest.fixture(params=["llama", "qwen2"])
def folder(request: pytest.FixtureRequest) -> Path:
    """Once each."""
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def long_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny llama with a context that holds the questions that judges really ask."""
    folder = tmp_path_factory.mktemp("models") / "long"
    return Path(tiny_models.make_model(folder, "llama", max_position_embeddings=16_384))


@pytest.fixture(scope="session")
def long_qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a tiny qwen2."""
    folder = tmp_path_factory.mktemp("models") / "long"
    return Path(tiny_models.make_model(folder, "qwen2", max_position_embeddings=16_384))

"""Loading: real folders, adapters, and one clear sentence for whatever is missing."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
import torch
from safetensors.torch import load_file, save_file

from pipelines.errors import BadInput
from pipelines.models.local import LocalEngine, LocalModel
from pipelines.models.local_model import adapted, load

# peft 0.21 reads a property that transformers 5.23 has renamed: when an adapter is made, here.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "model"))


def reason(**settings: Any) -> str:
    with pytest.raises(BadInput) as caught:
        load(LocalModel(**settings))
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 400
    return said


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=torch.arange(3, 40)[None]).logits
    return found


def test_a_folder_is_loaded_on_this_machines_device(folder: Path) -> None:
    loaded = load(LocalModel(str(folder)))
    cuda = torch.cuda.is_available()
    assert loaded.device.type == ("cuda" if cuda else "cpu")
    assert loaded.model.dtype == (torch.bfloat16 if cuda else torch.float32)
    assert loaded.model.config._attn_implementation == "sdpa"
    assert not loaded.model.training
    assert loaded.context == 512
    assert loaded.eos_ids == (loaded.tokenizer.eos_token_id,)


def test_a_relative_folder_is_the_projects(llama: Path) -> None:
    loaded = load(LocalModel(llama.name, base=llama.parent))
    assert loaded.name == llama.name


def test_loading_says_nothing_on_the_terminal(
    llama: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load(LocalModel(str(llama)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "models/a/b"])
def test_a_folder_that_is_not_there(name: str) -> None:
    assert "there is no such folder" in reason(model=name)


def test_a_name_that_the_hub_cannot_be_asked_for() -> None:
    assert reason(model="nobody/no-such-model") == (
        "nobody/no-such-model: no such folder, and the hub cannot be reached; name a folder with a "
        "model"
    )


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    assert "cannot be loaded" in reason(model=str(tmp_path))


def test_a_folder_without_a_tokenizer(folder: Path, tmp_path: Path) -> None:
    bare = copied(folder, tmp_path)
    for file in bare.glob("token*"):
        file.unlink()
    assert "tokenizer" in reason(model=str(bare))


def test_a_tokenizer_without_a_chat_template(tmp_path: Path) -> None:
    base = tiny.make_model(tmp_path / "base", chat_template=None)
    assert "has no chat template, and models are asked in messages" in reason(model=str(base))


def test_a_tokenizer_of_another_model(llama: Path, tmp_path: Path) -> None:
    mixed = copied(llama, tmp_path)
    tiny.make_tokenizer(
        n_tokens=2000, corpus=[f"word{k} " * 3 for k in range(900)]
    ).save_pretrained(mixed)
    assert "take the tokenizer that the model was trained with" in reason(model=str(mixed))


def test_weights_that_are_missing_are_never_random_numbers(llama: Path, tmp_path: Path) -> None:
    part = copied(llama, tmp_path)
    weights = load_file(part / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, part / "model.safetensors", metadata={"format": "pt"})
    assert "1 weights of this language model are missing" in reason(model=str(part))


def test_weights_of_another_shape(llama: Path, tmp_path: Path) -> None:
    part = copied(llama, tmp_path)
    config = json.loads((part / "config.json").read_text())
    (part / "config.json").write_text(json.dumps(config | {"intermediate_size": 161}))
    reason(model=str(part))


def test_weights_that_are_cut_off(llama: Path, tmp_path: Path) -> None:
    part = copied(llama, tmp_path)
    whole = (part / "model.safetensors").read_bytes()
    (part / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "the model cannot be loaded" in reason(model=str(part))


def test_an_architecture_that_nobody_knows(llama: Path, tmp_path: Path) -> None:
    part = copied(llama, tmp_path)
    config = json.loads((part / "config.json").read_text())
    (part / "config.json").write_text(json.dumps(config | {"model_type": "abacus"}))
    assert "cannot be loaded" in reason(model=str(part))


def test_devices_that_are_not_there(llama: Path) -> None:
    assert "is not one that torch knows" in reason(model=str(llama), device="gpu")
    assert 'set device = "auto" or "cpu"' in reason(model=str(llama), device="cuda:63")


def test_four_bits_need_their_package_and_a_gpu(llama: Path) -> None:
    said = reason(model=str(llama), four_bit=True, device="cpu")
    assert "needs the package bitsandbytes" in said or "needs a CUDA GPU" in said


def adapter_of(folder: Path, to: Path) -> Path:
    """A LoRA adapter whose weights are not zero, as training leaves them."""
    from peft import LoraConfig, get_peft_model

    model = load(LocalModel(str(folder), device="cpu")).model
    config = LoraConfig(
        r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        get_peft_model(model, config).save_pretrained(str(to))
    return to


def test_an_adapter_is_loaded_and_merged(folder: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    adapter = adapter_of(folder, tmp_path / "adapter")
    plain = load(LocalModel(str(folder), device="cpu")).model
    merged = load(LocalModel(str(folder), device="cpu", base=tmp_path, adapter="adapter")).model
    assert type(merged) is type(plain)  # nothing is left that would cost time
    # As beside weights of 4 bits, which cannot be merged without loss.
    settings = LocalModel(str(folder), base=tmp_path, adapter="adapter", four_bit=True)
    unmerged = adapted(settings, load(LocalModel(str(folder), device="cpu")).model)
    assert type(unmerged) is type(plain)
    assert (logits(merged) - logits(unmerged)).abs().max() < 1e-4
    before = logits(plain)
    beside = logits(PeftModel.from_pretrained(plain, str(adapter)))
    assert (logits(merged) - beside).abs().max() < 1e-4
    assert (before - beside).abs().max() > 0.1


def test_an_adapter_in_place_of_a_model(llama: Path, tmp_path: Path) -> None:
    adapter = adapter_of(llama, tmp_path / "adapter")
    tiny.make_tokenizer().save_pretrained(adapter)
    assert "this is an adapter, not a model" in reason(model=str(adapter))


def test_an_adapter_of_another_model(llama: Path, tmp_path: Path) -> None:
    adapter_of(llama, tmp_path / "adapter")
    wide = tiny.make_model(tmp_path / "wide", intermediate_size=96)
    said = reason(model=str(wide), base=tmp_path, adapter="adapter", device="cpu")
    assert "the adapter cannot be loaded" in said


def test_an_adapter_folder_that_is_not_there(llama: Path) -> None:
    assert "there is no such folder" in reason(model=str(llama), adapter="./nowhere")


def test_an_engine_names_its_model_and_device(llama: Path) -> None:
    engine = LocalEngine(LocalModel(str(llama), device="cpu", max_batch=8))
    assert (engine.name, engine.device, engine.window) == (str(llama), "cpu", 32)

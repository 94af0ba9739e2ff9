"""Every format through its readers: `datasets` offline, and TRL's own data preparation."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.config import CurateSection
from workbench.export.options import ExportOptions, policy_of
from workbench.export.run import run_export
from workbench.project import Project

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast

# TRL 1.16 itself uses these names of Transformers 5, whatever its caller gives.
pytestmark = pytest.mark.filterwarnings(
    "ignore:`(is_)?gradient_checkpointing` is deprecated:FutureWarning"
)

CHAT = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@pytest.fixture(scope="session", autouse=True)
def _offline() -> Iterator[None]:
    """Set before the libraries are imported: no hub, no threads of tokenizers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        yield


def export(project: Project, name: str, **given: Any) -> Path:
    asked = {key: given.pop(key) for key in ("ties", "identical") if key in given}
    fmt, policy = policy_of(name, CurateSection(), **asked)
    done = run_export(project, ExportOptions(fmt=fmt, policy=policy, **given))
    return Path(done.files[0])


def load(path: Path, cache: Path) -> "Dataset":
    from datasets import load_dataset

    loader = "parquet" if path.suffix == ".parquet" else "json"
    return load_dataset(loader, data_files=str(path), split="train", cache_dir=str(cache))


@pytest.mark.parametrize("name", ["trl", "kto", "jsonl", "parquet"])
def test_datasets_loads_the_files(audited: Any, tmp_path: Path, name: str) -> None:
    project, _ = audited
    path = export(project, name, form="conversational")
    data = load(path, tmp_path / "cache")
    assert len(data) == {"trl": 55, "kto": 110, "jsonl": 56, "parquet": 56}[name]
    assert data.features["weight"].dtype == "float64"
    assert data.features["round"].dtype == "string"
    assert data.features["inclusion_prob"].dtype == "float64"


def test_datasets_loads_the_folder_with_its_splits_from_the_card(
    audited: Any, tmp_path: Path
) -> None:
    from datasets import load_dataset

    project, _ = audited
    folder = export(project, "hf-folder", test_share=0.3).parents[1]
    data = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert set(data) == {"train", "test"}
    assert data["train"].num_rows + data["test"].num_rows == 55
    assert not set(data["train"]["prompt"]) & set(data["test"]["prompt"])
    assert data["train"].column_names[:3] == ["prompt", "chosen", "rejected"]


def test_datasets_loads_a_file_whose_only_audited_pairs_stand_past_its_first_chunk(
    tmp_path: Path, new_project: Any, pair_rows: Any
) -> None:
    # datasets takes the types from the first 10 MB: a column that is null there cannot hold a
    # text further down. One human label at the end of 12 MB shows that ours has no nulls.
    rows = pair_rows(n=50)
    for row in rows:
        row["response_a"] += " and so on" * 24_000
    rows[-1]["human"] = [{"annotator": "zoe", "label": "A"}]
    path = export(new_project(tmp_path / "large", rows), "trl")
    assert path.stat().st_size > 12_000_000
    data = load(path, tmp_path / "cache")
    assert data[49]["annotators"] == "zoe"
    assert data[0]["annotators"] == ""


@pytest.fixture(scope="session")
def tokenizer() -> "PreTrainedTokenizerFast":
    """A byte-level BPE trained here; no hub."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    roles = ["<|user|>", "<|assistant|>"]
    bpe.train_from_iterator(
        ["the model should answer kindly and explain why a plan is safe"] * 20,
        trainers.BpeTrainer(
            vocab_size=400,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=["<pad>", "<eos>", *roles],
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<pad>", eos_token="<eos>")
    fast.chat_template = CHAT
    return fast


@pytest.fixture(scope="session")
def tiny_model(
    tokenizer: "PreTrainedTokenizerFast", tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A folder with a model of one layer: the trainers read their reference model from it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=512,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    folder = tmp_path_factory.mktemp("tiny")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def arguments(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "max_steps": 1,
        "per_device_train_batch_size": 4,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "max_length": 256,
    }


@pytest.mark.parametrize("form", ["standard", "conversational"])
def test_the_dpo_trainer_prepares_and_trains_on_the_trl_file(
    audited: Any,
    tmp_path: Path,
    tokenizer: "PreTrainedTokenizerFast",
    tiny_model: str,
    form: str,
) -> None:
    from trl import DPOConfig, DPOTrainer

    project, _ = audited
    data = load(export(project, "trl", form=form), tmp_path / "cache")
    trainer = DPOTrainer(
        model=tiny_model,
        args=DPOConfig(**arguments(tmp_path / "run")),
        train_dataset=data,
    )
    prepared = trainer.train_dataset
    assert len(prepared) == len(data)  # nothing dropped, nothing cut
    for row, tokens in zip(data, prepared, strict=True):
        shown = tokenizer.decode(tokens["prompt_ids"] + tokens["chosen_ids"])
        prompt, chosen = row["prompt"], row["chosen"]
        if form == "conversational":
            prompt, chosen = prompt[0]["content"], chosen[0]["content"]
        assert prompt in shown
        assert chosen in shown
    assert trainer.train().training_loss == pytest.approx(0.693, abs=0.01)  # log 2 at the start


def test_the_reward_trainer_prepares_the_trl_file_and_uses_a_margin_only_when_there_is_one(
    audited: Any, tmp_path: Path, tiny_model: str
) -> None:
    from trl import RewardConfig, RewardTrainer

    project, _ = audited
    batches = {}
    for margin in (False, True):
        data = load(export(project, "trl", margin=margin, force=True), tmp_path / f"cache{margin}")
        trainer = RewardTrainer(
            model=tiny_model,
            args=RewardConfig(**arguments(tmp_path / "run")),
            train_dataset=data,
        )
        assert len(trainer.train_dataset) == len(data)
        batches[margin] = next(iter(trainer.get_train_dataloader()))
        assert trainer.train().training_loss > 0
    assert "margin" not in batches[False]
    assert batches[True]["margin"].tolist() == pytest.approx([0.8] * 4, abs=0.25)


def test_the_kto_trainer_prepares_the_kto_file(
    audited: Any, tmp_path: Path, tiny_model: str
) -> None:
    from trl import KTOConfig, KTOTrainer

    project, _ = audited
    data = load(export(project, "kto", form="conversational"), tmp_path / "cache")
    trainer = KTOTrainer(
        model=tiny_model,
        args=KTOConfig(**arguments(tmp_path / "run")),
        train_dataset=data,
    )
    assert len(trainer.train_dataset) == len(data) == 110
    assert trainer.train().training_loss > 0

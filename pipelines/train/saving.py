"""The trained model as a folder that `from_pretrained` loads, whatever it was trained with."""

from typing import Any

from pipelines.train.loading import Head, Start, load_model
from pipelines.train.run_folder import RunFolder
from pipelines.train.settings import TrainSettings

ADAPTER = "adapter"


def save_trained(
    trainer: Any, start: Start, settings: TrainSettings, head: Head, folder: RunFolder
) -> None:
    """Write `model/`; with LoRA also `adapter/`, which is merged into the model.

    All processes call it: a sharded model is gathered from them.
    """
    main = trainer.accelerator.is_main_process
    if not settings.lora.use:
        trainer.save_model(str(folder.model))
    else:
        adapter = folder.path / ADAPTER
        trainer.save_model(str(adapter))
        if main:
            from peft import PeftModel

            base = load_model(start, settings, head)
            merged = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()
            merged.save_pretrained(folder.model)
    if main:
        start.tokenizer.save_pretrained(folder.model)

"""PPO of TRL 1.12 with the settings that `ppo_speed.py` hands over; runs in TRL's environment.

    python benchmarks/ppo_speed_trl.py SETTINGS.json

It imports nothing of this project, whose TRL is a newer one without PPO.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer


def main() -> None:
    said = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    torch.manual_seed(said["seed"])
    tokenizer = AutoTokenizer.from_pretrained(said["model"], padding_side="left")
    policy, reference = (AutoModelForCausalLM.from_pretrained(said["model"]) for _ in range(2))
    value = AutoModelForSequenceClassification.from_pretrained(said["model"], num_labels=1)
    torch.nn.init.zeros_(value.score.weight)  # as in ours
    reward = AutoModelForSequenceClassification.from_pretrained(said["reward_model"])
    # The same reward, sigma(RM): TRL applies `score` to the hidden states.
    reward.score = torch.nn.Sequential(reward.score, torch.nn.Sigmoid())
    data = Dataset.from_list([{"input_ids": ids} for ids in said["prompts"]])
    args = PPOConfig(
        output_dir=said["out"],
        learning_rate=said["learning_rate"],
        lr_scheduler_type="linear",
        warmup_steps=said["warmup_steps"],
        adam_beta2=0.95,
        max_grad_norm=said["max_grad_norm"],
        # A step of the optimizer after each minibatch, as in ours: with accumulation it would wait.
        per_device_train_batch_size=said["batch_size"],
        gradient_accumulation_steps=1,
        num_mini_batches=said["minibatches"],
        num_ppo_epochs=said["passes"],
        total_episodes=said["steps"] * said["batch_size"],
        response_length=said["max_new_tokens"],
        stop_token="eos",
        missing_eos_penalty=said["unfinished_penalty"],
        temperature=said["temperature"],
        kl_coef=said["beta"],
        cliprange=said["clip"],
        cliprange_value=said["value_clip"],
        vf_coef=1.0,
        gamma=said["gamma"],
        lam=said["gae_lambda"],
        seed=said["seed"],
        num_sample_generations=0,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = PPOTrainer(
        args=args, processing_class=tokenizer, model=policy, ref_model=reference,
        reward_model=reward, value_model=value, train_dataset=data,
        eval_dataset=data.select(range(args.per_device_eval_batch_size)),
    )  # fmt: skip
    began = time.process_time()
    trainer.train()
    cpu_s = time.process_time() - began
    policy.save_pretrained(said["out"])
    tokenizer.save_pretrained(said["out"])
    Path(said["out"]).with_name("cpu.json").write_text(json.dumps(cpu_s))


if __name__ == "__main__":
    main()

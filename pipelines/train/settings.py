"""`[train]` of project.toml: what all trainers share, and a section for each method.

No torch here: the run file is read by commands that never train.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]

# TRL's own names; those of the second line compare a batch as a whole, so they know no soft labels.
PairLoss = Literal[
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard",
    "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
]  # fmt: skip
BatchLoss = Literal["aot", "aot_unpaired"]
AnyLoss = Literal[PairLoss, BatchLoss]


class Settings(BaseModel):
    """A table of settings: immutable, nothing undeclared, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LoraSettings(Settings):
    """`[train.lora]`: small matrices beside frozen weights."""

    use: bool = False
    rank: Count = 16
    alpha: Count = 32
    dropout: Share = 0.0
    targets: tuple[str, ...] = ("all-linear",)


class MethodSettings(Settings):
    """What each method sets for itself."""

    learning_rate: Positive
    epochs: Positive = 1.0
    batch_size: Count = 8


class SftSettings(MethodSettings):
    """`[train.sft]`."""

    learning_rate: Positive = 2e-5
    packing: bool = False


class RewardSettings(MethodSettings):
    """`[train.reward]`. `centring` is the weight of the squared mean of the two rewards."""

    learning_rate: Positive = 1e-5
    centring: NotNegative = 0.01
    margin: bool = False


class DpoSettings(MethodSettings):
    """`[train.dpo]`. `sft_weight` adds the likelihood of the better response to the loss."""

    learning_rate: Positive = 1e-6
    loss: AnyLoss = "sigmoid"
    beta: Positive = 0.1
    sft_weight: NotNegative = 0.0
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    precompute_reference: bool = True

    @model_validator(mode="after")
    def _smoothing_where_it_is_needed(self) -> Self:
        if self.loss in ("exo_pair", "robust") and self.label_smoothing == 0.0:
            raise ValueError(
                f'loss "{self.loss}" needs label_smoothing above 0; set it to the share of labels '
                "that you hold to be wrong, such as 0.1"
            )
        return self


class KtoSettings(MethodSettings):
    """`[train.kto]`."""

    learning_rate: Positive = 1e-6
    beta: Positive = 0.1
    desirable_weight: NotNegative = 1.0
    undesirable_weight: NotNegative = 1.0


class OrpoSettings(MethodSettings):
    """`[train.orpo]`."""

    learning_rate: Positive = 1e-6
    beta: Positive = 0.1


class OnlineSettings(Settings):
    """What PPO, A2C, RLOO and GRPO share: samples, and what they are rewarded for.

    The reward is sigma(reward model) + shaping x R_const, or a judge's rating in place of a reward
    model. `constitution`, `violation` and `watch` name a function, "file.py:name" or
    "package.module:name", which is given conversations and responses and returns numbers;
    `constitution` and `watch` may also name a judge, "judge:NAME". `judge` is a name alone.
    """

    learning_rate: Positive = 1e-6
    batch_size: Count = 64
    steps: Count = 100
    passes: Count = 1
    prompts: str = ""
    reward_model: str = ""
    judge: str = ""
    shaping: NotNegative = 0.0
    constitution: str = ""
    violation: str = ""
    temperature: Positive = 1.0
    max_new_tokens: Count = 256
    unfinished_penalty: NotNegative = 1.0
    beta: NotNegative = 0.05
    watch: str = ""
    watch_every: Whole = 0
    watch_prompts: Count = 64

    def of_run(self) -> dict[str, Any]:
        """What a run depends on, as JSON values: all but what only takes memory."""
        return self.model_dump(mode="json", exclude={"microbatch_size"})


class PpoSettings(OnlineSettings):
    """`[train.ppo]`. `violation_bound` below 1 makes it the constrained variant."""

    passes: Count = 4
    minibatches: Count = 2
    microbatch_size: Count = 16
    clip: Positive = 0.2
    value_clip: Positive = 0.2
    value_learning_rate: Positive = 1e-5
    gamma: Share = 1.0
    gae_lambda: Share = 0.95
    entropy_bonus: NotNegative = 0.0
    target_kl: NotNegative = 0.1
    violation_bound: Share = 1.0
    multiplier_rate: Positive = 0.5


class GroupSettings(OnlineSettings):
    """What RLOO and GRPO share: each prompt's samples are compared with one another."""

    samples: Annotated[int, Field(ge=2)] = 4
    clip: Positive = 0.2

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        if self.batch_size % self.samples:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of samples {self.samples}; each "
                "prompt of a batch has that many responses"
            )
        return self


class RlooSettings(GroupSettings):
    """`[train.rloo]`. The price of divergence, `beta`, is a part of the reward."""


class GrpoSettings(GroupSettings):
    """`[train.grpo]`. The price of divergence, `beta`, is a part of the loss."""

    loss: Literal["dr_grpo", "grpo", "dapo", "bnpo"] = "dr_grpo"
    scale_rewards: Literal["none", "group", "batch"] = "none"


class TrainSettings(Settings):
    """`[train]`."""

    model: str = ""
    data: str = ""
    max_length: Count = 1024
    over_length: Literal["drop", "truncate", "refuse"] = "drop"
    labels: Literal["soft", "hard"] = "soft"
    weights: Literal["use", "ignore"] = "use"
    max_steps: Whole = 0
    accumulate: Count = 1
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.03
    weight_decay: NotNegative = 0.0
    max_grad_norm: Positive = 1.0
    seed: Whole = 0
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    gradient_checkpointing: bool = False
    group_by_length: bool = True
    save_every: Count = 100
    log_every: Count = 10
    eval_every: Whole = 0
    tensorboard: bool = True
    lora: LoraSettings = LoraSettings()
    sft: SftSettings = SftSettings()
    reward: RewardSettings = RewardSettings()
    dpo: DpoSettings = DpoSettings()
    kto: KtoSettings = KtoSettings()
    orpo: OrpoSettings = OrpoSettings()
    ppo: PpoSettings = PpoSettings()
    rloo: RlooSettings = RlooSettings()
    grpo: GrpoSettings = GrpoSettings()

    def a2c(self) -> PpoSettings:
        """`[train.ppo]` as advantage actor-critic: each sample is used once, nothing is clipped.

        The algorithm of the RLAIF paper (Lee et al. 2023, arXiv:2309.00267, appendix).
        """
        once = {"passes": 1, "minibatches": 1, "clip": 1e9, "value_clip": 1e9}
        return self.ppo.model_copy(update=once)

    def online(self, name: str) -> OnlineSettings:
        """The section of "ppo", "a2c", "rloo" or "grpo"."""
        sections = {"ppo": self.ppo, "rloo": self.rloo, "grpo": self.grpo}
        return sections.get(name) or self.a2c()

    def of_method(self, name: str) -> dict[str, Any]:
        """What a run of this method depends on, as JSON values: all but other methods' sections
        and what only says how a run is shown and kept.
        """
        said = self.model_dump(mode="json")
        section = "ppo" if name == "a2c" else name
        shown_only = ("data", "tensorboard", "log_every", "save_every")
        return {
            key: value
            for key, value in said.items()
            if key not in shown_only and (key in ("lora", section) or not isinstance(value, dict))
        }

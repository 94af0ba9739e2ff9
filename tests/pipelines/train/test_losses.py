"""Soft losses: by hand, their symmetries, and against TRL's own at certain labels."""

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from pipelines.train.dpo import SoftDPOTrainer, preference_dataset
from pipelines.train.losses import Side, soft_pair_loss, soft_reward_loss
from pipelines.train.reward import SoftRewardTrainer, reward_dataset
from pipelines.train.settings import BatchLoss, DpoSettings, PairLoss

# TRL calls transformers by names that the next major version drops; `quiet_libraries` for a run.
pytestmark = pytest.mark.filterwarnings("ignore:.*will be removed in v6:FutureWarning")

PAIR_LOSSES, BATCH_LOSSES = get_args(PairLoss), get_args(BatchLoss)
NEEDS_SMOOTHING = ("exo_pair", "robust")
numbers = st.floats(-4.0, 4.0)


def side(ratio, logp=-10.0, n_tokens=5):
    return Side(torch.tensor([ratio]), torch.tensor([logp]), torch.tensor([n_tokens]))


def t(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_soft_dpo_by_hand():
    # d = 0.5 (2 - (-1)) = 1.5; p = 3/4: 3/4 log(1 + e^-1.5) + 1/4 log(1 + e^1.5)
    expected = 0.75 * math.log1p(math.exp(-1.5)) + 0.25 * math.log1p(math.exp(1.5))
    loss = soft_pair_loss("sigmoid", side(2.0), side(-1.0), torch.tensor([0.75]), beta=0.5)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_soft_ipo_by_hand():
    # means over tokens: 2/4 = 0.5 and -1/2 = -0.5; target 1/(2 x 0.5) = 1
    # p (1 - 1)^2 + (1 - p) (-1 - 1)^2 = 0.2 x 4
    chosen, rejected = side(2.0, n_tokens=4), side(-1.0, n_tokens=2)
    loss = soft_pair_loss("ipo", chosen, rejected, torch.tensor([0.8]), beta=0.5)
    assert loss.item() == pytest.approx(0.8, rel=1e-6)


@pytest.mark.parametrize("name", [*PAIR_LOSSES])
@given(c=numbers, r=numbers, p=st.floats(0.0, 1.0), n=st.integers(1, 9))
def test_telling_a_pair_from_the_other_side_changes_no_loss(name, c, r, p, n):
    first, second = side(c, n_tokens=n), side(r, logp=-7.0, n_tokens=3)
    soft = torch.tensor([p], dtype=torch.float64)
    one = soft_pair_loss(name, first, second, soft, 0.7, 0.1)
    other = soft_pair_loss(name, second, first, 1.0 - soft, 0.7, 0.1)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5, check_dtype=False)


@given(
    c=st.lists(numbers, min_size=3, max_size=3), r=st.lists(numbers, min_size=3, max_size=3),
    p=st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3), margin=st.floats(-1.0, 1.0),
)  # fmt: skip
def test_soft_reward_loss_is_soft_cross_entropy_and_symmetric(c, r, p, margin):
    chosen, rejected, soft = t(*c), t(*r), t(*p)
    ours = soft_reward_loss(chosen, rejected, soft)
    target = torch.stack([soft, 1.0 - soft], dim=1)
    torch.testing.assert_close(
        ours, cross_entropy(torch.stack([chosen, rejected], dim=1), target, reduction="none")
    )
    gap = torch.full_like(chosen, margin)
    torch.testing.assert_close(
        soft_reward_loss(chosen, rejected, soft, gap, centring=0.3),
        soft_reward_loss(rejected, chosen, 1.0 - soft, -gap, centring=0.3),
    )


def test_soft_reward_loss_by_hand():
    # d = 1 - 0.5 - 0.25 = 0.25; centring 0.1 (1 + 0.5)^2 = 0.225
    expected = 0.9 * math.log1p(math.exp(-0.25)) + 0.1 * math.log1p(math.exp(0.25)) + 0.225
    loss = soft_reward_loss(t(1.0), t(0.5), t(0.9), t(0.25), centring=0.1)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="does not score each pair"):
        soft_pair_loss("aot", side(1.0), side(0.0), torch.tensor([1.0]), 0.1)


def arguments(folder):
    return {
        "output_dir": str(folder), "use_cpu": True, "bf16": False, "report_to": "none",
        "activation_checkpointing": False, "disable_tqdm": True, "max_length": 128,
    }  # fmt: skip


@pytest.fixture(scope="module")
def trainers(tiny_folder, make_pairs, tmp_path_factory):
    """TRL's trainer and ours, of the same model, and one batch with log-ratios that are not 0."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    data = preference_dataset(make_pairs(12), "soft")
    args = DPOConfig(**arguments(tmp_path_factory.mktemp("out")), precompute_ref_log_probs=True)

    def model():
        return AutoModelForCausalLM.from_pretrained(tiny_folder)

    common = {"args": args, "train_dataset": data, "processing_class": tokenizer}
    stock = DPOTrainer(model=model(), **common)
    ours = SoftDPOTrainer(DpoSettings(), model=model(), **common)
    rows = [ours.train_dataset[k] for k in range(12)]
    torch.testing.assert_close(  # the reference's log-probabilities, each in its own row
        torch.tensor([[row["ref_chosen_logps"], row["ref_rejected_logps"]] for row in rows]),
        torch.tensor(
            [[row["ref_chosen_logps"], row["ref_rejected_logps"]] for row in stock.train_dataset]
        ),
    )
    batch = ours.data_collator(rows)
    noise = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    batch["ref_chosen_logps"] += 3.0 * noise[0]
    batch["ref_rejected_logps"] += 3.0 * noise[1]
    return stock, ours, batch


def certain(batch):
    return {**batch, "p_chosen": torch.ones(12), "weight": torch.ones(12)}


def without_ours(batch):
    return {name: value for name, value in batch.items() if name not in ("p_chosen", "weight")}


@pytest.mark.parametrize("name", [*PAIR_LOSSES, *BATCH_LOSSES])
def test_every_loss_at_a_certain_label_is_trls(trainers, name):
    stock, ours, batch = trainers
    smoothing = 0.1 if name in NEEDS_SMOOTHING else 0.0
    ours.settings = DpoSettings(loss=name, label_smoothing=smoothing, beta=0.3)
    stock.loss_types, stock.loss_weights = [name], [1.0]
    stock.label_smoothing, stock.beta = smoothing, 0.3
    expected = stock.compute_loss(stock.model, without_ours(batch))
    found = ours.compute_loss(ours.model, certain(batch))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert found.item() != 0.0
    expected.backward()
    found.backward()
    gradients = zip(ours.model.parameters(), stock.model.parameters(), strict=True)
    for mine, theirs in gradients:
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-5)
    ours.model.zero_grad()
    stock.model.zero_grad()


def test_the_likelihood_term_is_trls_mixture(trainers):
    stock, ours, batch = trainers
    ours.settings = DpoSettings(beta=0.3, sft_weight=0.5)
    stock.loss_types, stock.loss_weights = ["sigmoid", "sft"], [1.0, 0.5]
    stock.label_smoothing, stock.beta = 0.0, 0.3
    torch.testing.assert_close(
        ours.compute_loss(ours.model, certain(batch)),
        stock.compute_loss(stock.model, without_ours(batch)),
    )


def test_weights_and_soft_labels_reach_the_loss_of_dpo(trainers):
    _, ours, batch = trainers
    ours.settings = DpoSettings(beta=0.3)
    plain = ours.compute_loss(ours.model, certain(batch))
    doubled = ours.compute_loss(ours.model, {**certain(batch), "weight": torch.full((12,), 2.0)})
    torch.testing.assert_close(doubled, 2.0 * plain)
    one_row = torch.zeros(12)
    one_row[3] = 12.0
    alone = ours.compute_loss(ours.model, {**certain(batch), "weight": one_row})
    picked = {
        name: value[[3, 15]] if len(value) == 24 else value[[3]]
        for name, value in certain(batch).items()
    }
    torch.testing.assert_close(alone, ours.compute_loss(ours.model, picked))
    soft = ours.compute_loss(ours.model, batch)
    assert not torch.isclose(soft, plain)


def test_a_reference_computed_on_the_way_gives_the_same_loss(tiny_folder, make_pairs, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    losses = []
    for beforehand in (True, False):
        trainer = SoftDPOTrainer(
            DpoSettings(),
            model=AutoModelForCausalLM.from_pretrained(tiny_folder),
            args=DPOConfig(**arguments(tmp_path), precompute_ref_log_probs=beforehand),
            train_dataset=preference_dataset(make_pairs(4), "soft"),
            processing_class=tokenizer,
        )
        batch = trainer.data_collator([trainer.train_dataset[k] for k in range(4)])
        with torch.no_grad():  # away from the reference
            for weight in trainer.model.parameters():
                weight.mul_(1.1)
        losses.append(trainer.compute_loss(trainer.model, batch).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0] != pytest.approx(math.log(2.0), abs=1e-4)


def test_margin_and_centring_of_the_reward_loss_are_trls(tiny_folder, make_pairs, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    rows = make_pairs(6)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_folder, num_labels=1)
    args = RewardConfig(**arguments(tmp_path), center_rewards_coefficient=0.2)
    data = reward_dataset(rows, tokenizer, 128, "hard", margin=True).remove_columns("weight")
    data = data.add_column("weight", [1.0] * 6)
    common = {"args": args, "train_dataset": data, "processing_class": tokenizer, "model": model}
    stock, ours = RewardTrainer(**common), SoftRewardTrainer(0.2, **common)
    picked = [data[k] for k in range(6)]
    expected = stock.compute_loss(model, stock.data_collator(picked))
    found = ours.compute_loss(model, ours.data_collator(picked))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    batch = ours.data_collator(picked)
    tripled = ours.compute_loss(model, {**batch, "weight": torch.full((6,), 3.0)})
    torch.testing.assert_close(tripled, 3.0 * found)

"""PPO for language models, in the order of the algorithm: one file, built to be read.

Each step: sample responses (rollout), score them, charge each token for leaving the reference
(Ziegler et al. 2019), estimate advantages (GAE, Schulman et al. 2016), and take a few clipped steps
on policy and critic (Schulman et al. 2017). The price of divergence follows its target, and in the
constrained variant the price of a violation follows its bound (Lagrange; Achiam and Amodei 2019).

Axes: B responses, T tokens of prompt and response less one. Position t holds what concerns token
t + 1; `on` marks positions whose next token belongs to the response. All else is zero there. Every
log-probability is of the distribution that was sampled from, temperature included. Rows are padded
on the right, so a causal model needs no mask of padding: no token that counts looks that way.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from pipelines.errors import BadInput, ServiceFailed
from pipelines.models.sampling import end_ids, sample_ids
from pipelines.train.batching import alike
from pipelines.train.hacking import repetition
from pipelines.train.settings import PpoSettings

LogProbabilities = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Scores:
    """What came of each response, shape (B,).

    Attributes:
        reward: What is to be increased; NaN where it could not be told, and then nobody learns
            from that response.
        violation: 1 where a rule was broken, else 0; None where nobody looks.
        parts: Named parts of the reward, for the curves.
    """

    reward: Tensor
    violation: Tensor | None
    parts: dict[str, float]


@dataclass(frozen=True)
class Players:
    """Who takes part in a step.

    Attributes:
        model: `ActorCritic`, perhaps wrapped by accelerate.
        optimizer: Of both trunks.
        reference: `token_logps` of the frozen model, at the sampling temperature.
        tokenizer: Its pad and end tokens.
        accelerator: Means over processes, and the precision.
        max_grad_norm: Gradients are scaled down to it.
    """

    model: Any
    optimizer: Any
    reference: LogProbabilities
    tokenizer: Any
    accelerator: Accelerator
    max_grad_norm: float


@dataclass(frozen=True)
class Rollout:
    """Responses of the policy as it was, and what everybody thought of each token."""

    ids: Tensor  # (B, T + 1)
    lengths: Tensor  # (B,) tokens of prompt and response
    on: Tensor  # (B, T) bool
    logps: Tensor  # (B, T) of the policy that sampled
    reference: Tensor  # (B, T) of the reference
    values: Tensor  # (B, T) of the critic
    finished: Tensor  # (B,) bool: ended by itself
    written: tuple[list[int], ...]  # the responses' tokens
    texts: tuple[str, ...]


class ActorCritic(nn.Module):
    """Policy and critic, each with a trunk of its own: a shared one makes a poor critic."""

    def __init__(self, actor: Any, critic: Any, temperature: float):
        super().__init__()
        self.actor, self.critic, self.temperature = actor, critic, temperature

    def forward(self, ids: Tensor, on: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probability and entropy of the policy, and the critic's value, each (B, T)."""
        logps, entropy = token_logps(self.actor, ids, on, self.temperature)
        values = self.critic(input_ids=ids, use_cache=False).logits
        return logps, entropy, values[:, :-1, 0].float() * on


def token_logps(model: Any, ids: Tensor, on: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probability of each next token and entropy there, (B, T); zero outside `on`."""
    first = int(on.any(dim=0).int().argmax())  # no response begins before this position
    kept = ids.shape[1] - first
    logits = model(input_ids=ids, use_cache=False, logits_to_keep=kept).logits[:, :-1]
    said = logits[on[:, first:]].float() / temperature  # (n tokens of responses, n_words)
    logp = said.log_softmax(dim=-1)
    chosen = logp.gather(1, ids[:, 1:][on][:, None])[:, 0]
    entropy = -(logp.exp() * logp).sum(dim=-1)
    empty = chosen.new_zeros(on.shape)
    return empty.masked_scatter(on, chosen), empty.masked_scatter(on, entropy)


@torch.no_grad()
def roll_out(
    players: Players, prompts: Sequence[Sequence[int]], settings: PpoSettings,
    generator: torch.Generator,
) -> Rollout:  # fmt: skip
    """Sample one response to each prompt and look up what all three models think of it."""
    model: ActorCritic = players.accelerator.unwrap_model(players.model)
    tokenizer, device = players.tokenizer, model.actor.device
    ends, pad = end_ids(model.actor, tokenizer), tokenizer.pad_token_id
    with players.accelerator.autocast():
        responses = sample_ids(
            model.actor, prompts, generator, pad_id=pad, end_ids=ends,
            temperature=settings.temperature, max_new_tokens=settings.max_new_tokens,
        )  # fmt: skip
        rows = [torch.tensor([*p, *r]) for p, r in zip(prompts, responses, strict=True)]
        # Padded on the right: positions count from each row's first token, as they do in training.
        ids = pad_sequence(rows, batch_first=True, padding_value=pad).to(device)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        begins_at = torch.tensor([len(prompt) for prompt in prompts], device=device)
        place = torch.arange(1, ids.shape[1], device=device)[None]
        on = (place >= begins_at[:, None]) & (place < lengths[:, None])
        logps, values, reference = (torch.zeros(on.shape, device=device) for _ in range(3))
        for part, width in alike(lengths, settings.microbatch_size):
            one = ids[part, :width], on[part, : width - 1]
            logps[part, : width - 1], _, values[part, : width - 1] = model(*one)
            reference[part, : width - 1], _ = players.reference(*one)
    finished = torch.tensor([r[-1] in ends for r in responses], device=device)
    texts = tuple(tokenizer.batch_decode(responses, skip_special_tokens=True))
    return Rollout(ids, lengths, on, logps, reference, values, finished, tuple(responses), texts)


def token_rewards(rollout: Rollout, reward: Tensor, kl_price: float) -> Tensor:
    """The reward at the last token; at every token the price of divergence, (B, T).

    r_t = -price (log pi(a_t) - log pi_ref(a_t)) + [t is last] R
    """
    rewards = -kl_price * (rollout.logps - rollout.reference) * rollout.on
    last = (rollout.on * torch.arange(1, rollout.on.shape[1] + 1, device=reward.device)).argmax(1)
    return rewards.scatter_add(1, last[:, None], reward[:, None])


def advantages(
    rewards: Tensor, values: Tensor, on: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """GAE (Schulman et al. 2016, eq. 16), backwards in time; and the critic's targets, (B, T).

    delta_t = r_t + gamma V_{t+1} - V_t;  A_t = delta_t + gamma lambda A_{t+1};  target = A + V
    """
    found = torch.zeros_like(rewards)
    later_value = later = torch.zeros(len(rewards), device=rewards.device)
    for t in reversed(range(rewards.shape[1])):
        here = on[:, t].float()
        delta = rewards[:, t] + gamma * later_value - values[:, t]
        later = here * (delta + gamma * lam * later)
        later_value = here * values[:, t]
        found[:, t] = later
    return found, (found + values) * on


def policy_loss(logps: Tensor, old: Tensor, advantage: Tensor, on: Tensor, clip: float) -> Tensor:
    """-E min(rho A, clip(rho, 1 - eps, 1 + eps) A), rho = pi / pi_old (Schulman et al. 2017, eq. 7)

    Mean over tokens; an infinite `clip` is the plain policy gradient of A2C.
    """
    ratio = (logps - old).exp()
    clipped = ratio.clamp(1.0 - clip, 1.0 + clip)
    return mean_on(torch.maximum(-ratio * advantage, -clipped * advantage), on)


def value_loss(values: Tensor, old: Tensor, target: Tensor, on: Tensor, clip: float) -> Tensor:
    """Half the squared error, the worse of free and clipped to `clip` from the old value."""
    clipped = old + (values - old).clamp(-clip, clip)
    return 0.5 * mean_on(torch.maximum((values - target) ** 2, (clipped - target) ** 2), on)


def mean_on(x: Tensor, on: Tensor) -> Tensor:
    """Mean over the tokens of responses."""
    return (x * on).sum() / on.sum().clamp(min=1)


def next_kl_price(price: float, kl_per_token: float, target: float) -> float:
    """The price of divergence rises above the target and falls below.

    After Ziegler et al. 2019, 2.2, per token, and in steps of up to a tenth where theirs are of up
    to a fiftieth: a run here has hundreds of steps and not tens of thousands.
    """
    if target == 0.0:  # a fixed price
        return price
    return price * (1.0 + 0.1 * min(1.0, max(-1.0, kl_per_token / target - 1.0)))


def next_multiplier(multiplier: float, violations: float, bound: float, rate: float) -> float:
    """Dual ascent: the price of a violation rises while there are more than the bound allows."""
    return max(0.0, multiplier + rate * (violations - bound))


@dataclass
class State:
    """What a step changes beside the weights; kept with every checkpoint.

    Attributes:
        baseline: The first batch's mean reward, which rewards count from (as Stiennon et al. 2020
            shift their reward model). A critic begins at 0: without it every token of the first
            steps looks better than expected, the late ones most, and the policy runs off.
    """

    step: int = 0
    kl_price: float = 0.0
    multiplier: float = 0.0
    baseline: float | None = None


def ppo_step(
    players: Players, prompts: Sequence[Sequence[int]],
    score: Callable[[Sequence[str]], Scores], settings: PpoSettings, state: State,
    generator: torch.Generator,
) -> dict[str, float]:  # fmt: skip
    """One step of the algorithm.

    Args:
        players: Models, optimizer, tokenizer.
        prompts: Token ids, one response each.
        score: What the responses are worth.
        settings: `[train.ppo]`.
        state: Changed in place.
        generator: The source of chance of this step and process.

    Returns:
        The figures of this step, means over all processes, for the curves.

    Raises:
        ServiceFailed: Not one response of this process could be scored.
        BadInput: The loss is no longer finite.
    """
    rollout = roll_out(players, prompts, settings, generator)
    scores = score(rollout.texts)
    scored = ~scores.reward.isnan().to(rollout.on.device)
    if not scored.any():
        raise ServiceFailed(
            f"step {state.step + 1}: the judge scored none of {len(prompts)} responses; look at "
            "its server, then give the same command again"
        )
    on = rollout.on & scored[:, None]
    reward = scores.reward.to(rollout.logps).nan_to_num(0.0)
    reward = reward - settings.unfinished_penalty * ~rollout.finished
    constrained = settings.violation_bound < 1.0
    if constrained and scores.violation is not None:
        reward = reward - state.multiplier * scores.violation.to(reward)
    if state.baseline is None:
        first = {"reward": float(reward[scored].mean())}
        state.baseline = mean_over_processes(first, players.accelerator)["reward"]
    rewards = token_rewards(rollout, reward - state.baseline, state.kl_price)
    advantage, target = advantages(rewards, rollout.values, on, settings.gamma, settings.gae_lambda)
    advantage = whiten(advantage, on, players.accelerator)
    learnt = _learn(players, rollout, on, advantage, target, settings, generator)

    kl = ((rollout.logps - rollout.reference) * rollout.on).sum(dim=1)
    said = {
        "reward": float(scores.reward.nanmean()),
        "kl": float(kl.mean()),
        "length": float(rollout.on.sum(dim=1).float().mean()),
        "finished": float(rollout.finished.float().mean()),
        "repetition": repetition(rollout.written),
        "kl_price": state.kl_price,
        "unscored": 1.0 - float(scored.float().mean()),
        **learnt,
        **scores.parts,
    }
    if scores.violation is not None:
        said["violation_rate"] = float(scores.violation.float().mean())
    said = mean_over_processes(said, players.accelerator)
    if not all(math.isfinite(said[name]) for name in ("policy_loss", "value_loss", "kl")):
        raise BadInput(
            f"step {state.step + 1}: the loss is no longer finite; lower learning_rate or "
            "value_learning_rate and give the run another --name"
        )
    per_token = said["kl"] / max(1.0, said["length"])
    state.kl_price = next_kl_price(state.kl_price, per_token, settings.target_kl)
    if constrained:
        said["multiplier"] = state.multiplier
        state.multiplier = next_multiplier(
            state.multiplier, said["violation_rate"], settings.violation_bound,
            settings.multiplier_rate,
        )  # fmt: skip
    state.step += 1
    return said


def _learn(
    players: Players, rollout: Rollout, on: Tensor, advantage: Tensor, target: Tensor,
    settings: PpoSettings, generator: torch.Generator,
) -> dict[str, float]:  # fmt: skip
    """The clipped steps on one rollout; the means of their figures."""
    steps: list[dict[str, Tensor]] = []
    for _ in range(settings.passes):
        order = torch.randperm(len(rollout.ids), generator=generator, device=generator.device)
        for rows in order.chunk(settings.minibatches):
            players.optimizer.zero_grad()
            figures = _gradient(players, rollout, on, advantage, target, settings, rows)
            figures["gradient_norm"] = players.accelerator.clip_grad_norm_(
                players.model.parameters(), players.max_grad_norm
            )
            players.optimizer.step()
            steps.append(figures)
    return {name: float(torch.stack([one[name] for one in steps]).mean()) for name in steps[0]}


def _gradient(
    players: Players, rollout: Rollout, on: Tensor, advantage: Tensor, target: Tensor,
    settings: PpoSettings, rows: Tensor,
) -> dict[str, Tensor]:  # fmt: skip
    """Gradient and figures of a minibatch: sums over its groups, each by its share of tokens."""
    n_tokens = on[rows].sum().clamp(min=1)
    groups = alike(rollout.lengths[rows], settings.microbatch_size)
    sums: dict[str, Tensor] = {}
    for number, (group, width) in enumerate(groups, start=1):
        at, to = rows[group], slice(width - 1)
        here, old = on[at, to], rollout.logps[at, to]
        share = here.sum() / n_tokens
        several = players.accelerator.no_sync(players.model)  # processes meet at the last group
        with several if number < len(groups) else nullcontext():
            logps, entropy, values = players.model(rollout.ids[at, :width], here)
            loss_p = policy_loss(logps, old, advantage[at, to], here, settings.clip)
            loss_v = value_loss(
                values, rollout.values[at, to], target[at, to], here, settings.value_clip
            )
            spread = mean_on(entropy, here)
            loss = loss_p + loss_v - settings.entropy_bonus * spread
            players.accelerator.backward(share * loss)
        moved = mean_on((((logps - old).exp() - 1.0).abs() > settings.clip).float(), here)
        for name, value in (
            ("policy_loss", loss_p), ("value_loss", loss_v), ("entropy", spread),
            ("clip_fraction", moved),
        ):  # fmt: skip
            sums[name] = sums.get(name, 0.0) + share * value.detach()
    return sums


def whiten(x: Tensor, on: Tensor, accelerator: Accelerator) -> Tensor:
    """Mean 0 and deviation 1 over the tokens of all processes."""
    sums = torch.stack([on.sum().float(), (x * on).sum(), (x**2 * on).sum()])
    n, total, squares = accelerator.reduce(sums, reduction="sum")
    n = n.clamp(min=1)
    mean = total / n
    deviation = (squares / n - mean**2).clamp(min=0).sqrt()
    white: Tensor = (x - mean) / (deviation + 1e-6) * on
    return white


def mean_over_processes(figures: dict[str, float], accelerator: Accelerator) -> dict[str, float]:
    """Each figure's mean; every process has the same names."""
    values = torch.tensor(list(figures.values()), device=accelerator.device)
    mean = accelerator.reduce(values, reduction="mean").tolist()
    return dict(zip(figures, mean, strict=True))

"""The losses of training on pairs: pure functions, one equation each, soft labels for all.

Notation: c, r are the log-ratios log pi(y|x) - log pi_ref(y|x) of the chosen and the rejected
response, shape (n_pairs,), summed over tokens; n_c, n_r their lengths in tokens; b is beta;
p is the probability that chosen is the better one. Every pair loss L has the soft form

    p L(c, r) + (1 - p) L(r, c)

which is the expected loss over the label and equals the published loss at p = 1.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, relu


@dataclass(frozen=True)
class Side:
    """One response of each pair.

    Attributes:
        ratio: Log-ratio of policy to reference, summed over tokens, shape (n_pairs,).
        logp: The policy's log-probability, summed over tokens, shape (n_pairs,).
        n_tokens: Length of the response, shape (n_pairs,).
    """

    ratio: Tensor
    logp: Tensor
    n_tokens: Tensor


def soft_pair_loss(
    name: str, chosen: Side, rejected: Side, p: Tensor, beta: float, smoothing: float = 0.0
) -> Tensor:
    """The soft form of a pair loss, shape (n_pairs,).

    Args:
        name: A `loss_type` of TRL that scores each pair by itself.
        chosen: The response called better.
        rejected: The other.
        p: Probability that chosen is better, shape (n_pairs,).
        beta: Strength of the pull to the reference.
        smoothing: Share of wrong labels, for `exo_pair` and `robust`.
    """
    loss = pair_loss(name, chosen, rejected, beta, smoothing)
    if bool((p == 1.0).all()):  # hard labels: no second half to pay for
        return loss
    return p * loss + (1.0 - p) * pair_loss(name, rejected, chosen, beta, smoothing)


def pair_loss(name: str, chosen: Side, rejected: Side, beta: float, smoothing: float) -> Tensor:
    """A pair loss at a certain label, shape (n_pairs,)."""
    c, r, b = chosen.ratio, rejected.ratio, beta
    d = b * (c - r)
    match name:
        case "sigmoid":  # DPO, Rafailov et al. 2023, eq. 7
            return -logsigmoid(d)
        case "hinge":  # SLiC, Zhao et al. 2023
            return relu(1.0 - d)
        case "ipo":  # Azar et al. 2023, eq. 17, on means over tokens
            return (c / _length(chosen) - r / _length(rejected) - 1.0 / (2.0 * b)) ** 2
        case "sigmoid_norm":  # DPO on means over tokens
            return -logsigmoid(b * (c / _length(chosen) - r / _length(rejected)))
        case "exo_pair":  # Ji et al. 2024, eq. 16
            to_chosen = torch.sigmoid(d) * (logsigmoid(d) - math.log1p(-smoothing))
            return to_chosen + torch.sigmoid(-d) * (logsigmoid(-d) - math.log(smoothing))
        case "nca_pair":  # Chen et al. 2024
            return -logsigmoid(b * c) - 0.5 * logsigmoid(-b * c) - 0.5 * logsigmoid(-b * r)
        case "robust":  # Chowdhury et al. 2024: unbiased when a share of the labels is flipped
            right, flipped = -(1.0 - smoothing) * logsigmoid(d), -smoothing * logsigmoid(-d)
            return (right - flipped) / (1.0 - 2.0 * smoothing)
        case "bco_pair":  # Jung et al. 2024, without its moving baseline
            return -logsigmoid(b * c) - logsigmoid(-b * r)
        case "sppo_hard":  # Wu et al. 2024, eq. 4.7 with P = 1
            return (c - 0.5 / b) ** 2 + (r + 0.5 / b) ** 2
        case "apo_zero":  # D'Oosterlinck et al. 2024, eq. 7
            return 1.0 - torch.sigmoid(b * c) + torch.sigmoid(b * r)
        case "apo_down":  # ... eq. 8
            return torch.sigmoid(b * c) + 1.0 - torch.sigmoid(d)
        case "discopop":  # Lu et al. 2024, eq. 5, temperature 0.05
            mix = torch.sigmoid(d / 0.05)
            return -logsigmoid(d) * (1.0 - mix) + torch.exp(-d) * mix
        case "sft":  # negative log-likelihood of the response, a mean over the batch's tokens
            return -chosen.logp * len(c) / chosen.n_tokens.sum().clamp(min=1)
        case _:
            raise ValueError(f"{name} does not score each pair by itself")


def batch_loss(name: str, chosen: Side, rejected: Side, beta: float) -> Tensor:
    """AOT (Melnyk et al. 2024): sorted log-ratios are compared, not those of one pair.

    Returns:
        Shape (n_pairs,); a row is a rank of the batch and not a pair, so no label or weight of a
        pair applies to it.
    """
    if name == "aot":
        policy = torch.sort(chosen.logp - rejected.logp).values
        reference = (chosen.logp - chosen.ratio) - (rejected.logp - rejected.ratio)
        d = policy - torch.sort(reference).values
    else:
        d = torch.sort(chosen.ratio).values - torch.sort(rejected.ratio).values
    return -logsigmoid(beta * d)


def soft_reward_loss(
    chosen: Tensor,
    rejected: Tensor,
    p: Tensor,
    margin: Tensor | None = None,
    centring: float = 0.0,
) -> Tensor:
    """Cross-entropy of softmax([r_c, r_r]) against [p, 1 - p], shape (n_pairs,).

    -log sigma(d) p - log sigma(-d) (1 - p) with d = r_c - r_r - margin; Bradley-Terry at p = 1
    (Ouyang et al. 2022, eq. 1; margin: Touvron et al. 2023, eq. 2). `centring` weighs
    (r_c + r_r)^2, which keeps the mean reward at 0 (Eisenstein et al. 2023, eq. 2).

    Args:
        chosen: Rewards of the responses called better, shape (n_pairs,).
        rejected: Rewards of the others, shape (n_pairs,).
        p: Probability that chosen is better, shape (n_pairs,).
        margin: By how much chosen should win, shape (n_pairs,).
        centring: Weight of the penalty.
    """
    d = chosen - rejected if margin is None else chosen - rejected - margin
    loss = -p * logsigmoid(d) - (1.0 - p) * logsigmoid(-d)
    return loss + centring * (chosen + rejected) ** 2 if centring else loss


def _length(side: Side) -> Tensor:
    return side.n_tokens.clamp(min=1)

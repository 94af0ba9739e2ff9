"""PPO's parts by hand and against slow definitions; its rollouts against the model itself."""

import math
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForTokenClassification, LlamaConfig

from pipelines.errors import BadInput, ServiceFailed
from pipelines.sandbox.tiny_model import Shape, encode_prompt, make_tokenizer, new_model
from pipelines.sandbox.world_prompts import draw_prompts
from pipelines.train.batching import alike
from pipelines.train.ppo import (
    ActorCritic,
    Players,
    Rollout,
    Scores,
    State,
    advantages,
    mean_on,
    next_kl_price,
    next_multiplier,
    policy_loss,
    ppo_step,
    roll_out,
    token_logps,
    token_rewards,
    value_loss,
    whiten,
)
from pipelines.train.settings import PpoSettings

SHAPE = Shape(hidden=16, layers=1, mlp=32, heads=2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(*responses, before=1, width=6):
    """`on` for responses of these lengths after `before` positions of the prompt."""
    on = torch.zeros(len(responses), width, dtype=torch.bool)
    for row, length in enumerate(responses):
        on[row, before : before + length] = True
    return on


@given(st.integers(0, 999), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_advantages_are_the_sum_of_discounted_surprises(seed, gamma, lam):
    on = rows(4, 2, 1)
    draw = generator(seed)
    rewards, values = (torch.randn(3, 6, generator=draw) * on for _ in range(2))
    found, target = advantages(rewards, values, on, gamma, lam)
    for row, length in enumerate((4, 2, 1)):
        r, v = rewards[row, 1 : 1 + length], [*values[row, 1 : 1 + length].tolist(), 0.0]
        for t in range(length):  # Schulman et al. 2016, eq. 16, forwards
            slow = sum(
                (gamma * lam) ** (k - t) * (float(r[k]) + gamma * v[k + 1] - v[k])
                for k in range(t, length)
            )
            assert float(found[row, 1 + t]) == pytest.approx(slow, abs=1e-5)
            assert float(target[row, 1 + t]) == pytest.approx(slow + v[t], abs=1e-5)
    assert not found[~on].any()
    assert not target[~on].any()


def test_with_lambda_1_the_target_is_the_return_whatever_the_critic_says():
    on = rows(3)
    rewards = torch.tensor([[0.0, 1.0, 2.0, 4.0, 0.0, 0.0]])
    _, target = advantages(rewards, torch.randn(1, 6, generator=generator()) * on, on, 1.0, 1.0)
    assert target[0].tolist() == pytest.approx([0, 7, 6, 4, 0, 0], abs=1e-6)


def test_policy_loss_by_hand():
    # ratios 1.1 and 1.5, advantages 2 and 2: -(2.2 + 1.2 x 2) / 2
    old = torch.zeros(1, 3)
    new = torch.tensor([[math.log(1.1), math.log(1.5), 5.0]])
    on = torch.tensor([[True, True, False]])
    loss = policy_loss(new, old, torch.full((1, 3), 2.0), on, 0.2)
    assert float(loss) == pytest.approx(-(2.2 + 2.4) / 2)


@pytest.mark.parametrize(
    ("ratio", "advantage", "moves"),
    [(1.5, 1.0, False), (1.5, -1.0, True), (0.5, -1.0, False), (0.5, 1.0, True), (1.1, 1.0, True)],
)
def test_the_clip_stops_what_goes_too_far_and_never_the_way_back(ratio, advantage, moves):
    logp = torch.tensor([[math.log(ratio)]], requires_grad=True)
    on = torch.ones(1, 1, dtype=torch.bool)
    policy_loss(logp, torch.zeros(1, 1), torch.tensor([[advantage]]), on, 0.2).backward()
    assert bool(logp.grad.abs().item() > 0) is moves


def test_without_a_clip_the_gradient_is_that_of_the_policy():
    logp = torch.tensor([[3.0]], requires_grad=True)
    on = torch.ones(1, 1, dtype=torch.bool)
    policy_loss(logp, torch.tensor([[3.0]]), torch.tensor([[0.7]]), on, 1e9).backward()
    assert logp.grad.item() == pytest.approx(-0.7)


def test_value_loss_by_hand():
    # new 1.0, old 0.0, clipped to 0.2; target 0.5: the worse of .25 and .09, halved
    on = torch.ones(1, 1, dtype=torch.bool)
    one = torch.tensor([[1.0]])
    assert float(value_loss(one, 0 * one, 0.5 * one, on, 0.2)) == pytest.approx(0.125)
    # target 2: the clipped one is farther away, (2 - .2)^2 / 2
    assert float(value_loss(one, 0 * one, 2 * one, on, 0.2)) == pytest.approx(1.62)


def test_the_reward_comes_at_the_last_token_and_divergence_costs_at_each():
    on = rows(3, 1)
    logps, reference = 0.5 * on, 0.25 * on
    empty = torch.zeros(2)
    rollout = Rollout(on, empty, on, logps, reference, logps, empty, ([], []), ("", ""))
    found = token_rewards(rollout, torch.tensor([10.0, 20.0]), 2.0)
    assert found.tolist() == [[0, -0.5, -0.5, 9.5, 0, 0], [0, 19.5, 0, 0, 0, 0]]


def test_the_price_of_divergence_follows_its_target():
    assert next_kl_price(1.0, 0.3, 0.1) == pytest.approx(1.1)  # far above: a tenth at most
    assert next_kl_price(1.0, 0.105, 0.1) == pytest.approx(1.005)
    assert next_kl_price(1.0, -9.0, 0.1) == pytest.approx(0.9)
    assert next_kl_price(1.0, 5.0, 0.0) == 1.0  # a fixed price


def test_the_price_of_a_violation_rises_above_the_bound_and_never_falls_below_0():
    assert next_multiplier(1.0, 0.3, 0.1, 0.5) == pytest.approx(1.1)
    assert next_multiplier(1.0, 0.0, 0.1, 0.5) == pytest.approx(0.95)
    assert next_multiplier(0.01, 0.0, 0.1, 0.5) == 0.0


def test_whitened_advantages_have_mean_0_and_deviation_1_over_the_tokens():
    on = rows(4, 2)
    x = (torch.randn(2, 6, generator=generator()) * 3 + 5) * on
    white = whiten(x, on, Accelerator(cpu=True))
    assert float(mean_on(white, on)) == pytest.approx(0.0, abs=1e-6)
    assert float(mean_on(white**2, on)) == pytest.approx(1.0, abs=1e-5)
    assert not white[~on].any()


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def prompts(tokenizer):
    return [encode_prompt(tokenizer, one.text) for one in draw_prompts(6, 0)]


def make_players(tokenizer, temperature=1.0):
    actor = new_model(len(tokenizer), SHAPE, 0)
    actor.generation_config.eos_token_id = tokenizer.eos_token_id
    config = LlamaConfig.from_dict(actor.config.to_dict() | {"num_labels": 1})
    with torch.random.fork_rng():
        torch.manual_seed(1)
        critic = AutoModelForTokenClassification.from_config(config)
    model = ActorCritic(actor, critic, temperature).eval()
    frozen = new_model(len(tokenizer), SHAPE, 5).eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def reference(ids, on):
        return token_logps(frozen, ids, on, temperature)

    return Players(model, optimizer, reference, tokenizer, Accelerator(cpu=True), 1.0)


def test_what_is_marked_is_the_response_and_no_more(tokenizer, prompts):
    players = make_players(tokenizer)
    settings = PpoSettings(max_new_tokens=9)
    rollout = roll_out(players, prompts, settings, generator())
    for row, prompt in enumerate(prompts):
        marked = rollout.ids[row, 1:][rollout.on[row]].tolist()
        assert marked == rollout.written[row]
        whole = rollout.ids[row, : rollout.lengths[row]].tolist()
        assert whole == [*prompt, *rollout.written[row]]
        ended = rollout.written[row][-1] == tokenizer.eos_token_id
        assert bool(rollout.finished[row]) is ended
        assert ended or len(marked) == 9


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_log_probabilities_are_those_of_what_was_sampled_from(tokenizer, prompts, temperature):
    players = make_players(tokenizer, temperature)
    settings = PpoSettings(max_new_tokens=9, temperature=temperature)
    rollout = roll_out(players, prompts, settings, generator())
    for row, prompt in enumerate(prompts):
        written = rollout.written[row]
        with torch.no_grad():  # one row, no padding, no cache: the slow definition
            ids = torch.tensor([[*prompt, *written]])
            logits = players.model.actor(ids).logits[0, len(prompt) - 1 : -1] / temperature
            value = players.model.critic(ids).logits[0, len(prompt) - 1 : -1, 0]
        slow = logits.log_softmax(-1).gather(1, torch.tensor(written)[:, None])[:, 0]
        on = rollout.on[row]
        assert torch.allclose(rollout.logps[row][on], slow, atol=1e-5)
        assert torch.allclose(rollout.values[row][on], value, atol=1e-5)
        assert not rollout.logps[row][~on].any()
        assert not rollout.values[row][~on].any()


def test_samples_follow_the_temperature(tokenizer, prompts):
    """The mean log-probability of samples is minus the entropy, at the temperature sampled."""
    players = make_players(tokenizer, 0.5)
    settings = PpoSettings(max_new_tokens=4, temperature=0.5)
    rollout = roll_out(players, prompts * 60, settings, generator())
    with torch.no_grad():
        _, entropy, _ = players.model(rollout.ids, rollout.on)
    gap = (rollout.logps + entropy)[rollout.on]
    assert abs(float(gap.mean())) < 4 * float(gap.std()) / math.sqrt(gap.numel())


def step(players, prompts, reward, **settings):
    state = State(kl_price=0.05)
    chosen = PpoSettings(max_new_tokens=6, passes=1, minibatches=1, **settings)

    def score(texts):
        return Scores(reward(texts), None, {})

    return ppo_step(players, prompts, score, chosen, state, generator()), state


def nan_first(texts):
    rewards = torch.tensor([float(len(text)) for text in texts])
    rewards[0] = math.nan
    return rewards


def test_a_response_that_could_not_be_scored_teaches_nothing(tokenizer, prompts):
    def learn(prompts, reward):
        players = make_players(tokenizer)
        step(players, prompts, reward, value_clip=1e9)
        return torch.cat([weight.flatten() for weight in players.model.parameters()])

    def huge_first(texts):
        rewards = nan_first(texts)
        rewards[0] = 1e6
        return rewards

    assert torch.isfinite(learn(prompts, nan_first)).all()
    assert not torch.equal(learn(prompts, nan_first), learn(prompts, huge_first))
    players = make_players(tokenizer)
    figures, _ = step(players, prompts, nan_first)
    assert figures["unscored"] == pytest.approx(1 / 6)
    with pytest.raises(ServiceFailed, match="none of 6"):
        step(make_players(tokenizer), prompts, lambda texts: torch.full((len(texts),), math.nan))


@pytest.mark.parametrize("bonus", [0.0, 0.1])
def test_groups_of_like_length_change_nothing(tokenizer, prompts, bonus):
    def weights(size):
        players = make_players(tokenizer)
        # SGD, since Adam's first step is the gradient's sign: it would hide a wrong scale.
        sgd = replace(players, optimizer=torch.optim.SGD(players.model.parameters(), lr=0.1))
        long = [*prompts[:5], prompts[5] * 3]
        figures, _ = step(
            sgd, long, nan_first, microbatch_size=size, entropy_bonus=bonus, value_clip=1e9
        )
        return torch.cat([weight.flatten() for weight in players.model.parameters()]), figures

    before = torch.cat([w.flatten() for w in make_players(tokenizer).model.parameters()])
    whole, said = weights(6)
    assert not torch.allclose(whole, before, atol=1e-4)
    for size in (1, 2, 4):
        parts, figures = weights(size)
        assert torch.allclose(parts, whole, atol=1e-6)
        assert figures == pytest.approx(said, abs=1e-5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(1, 8))
def test_groups_hold_each_row_once_and_the_shorter_rows_first(lengths, size):
    groups = alike(torch.tensor(lengths), size)
    assert sorted(i for rows, _ in groups for i in rows.tolist()) == list(range(len(lengths)))
    in_turn = [lengths[i] for rows, _ in groups for i in rows.tolist()]
    assert in_turn == sorted(lengths)
    assert all(len(rows) <= size for rows, _ in groups)
    assert all(width == max(lengths[i] for i in rows.tolist()) for rows, width in groups)


def test_rewards_count_from_the_mean_of_the_first_batch(tokenizer, prompts):
    players = make_players(tokenizer)
    with torch.no_grad():  # a critic that knows nothing yet
        players.model.critic.score.weight.zero_()
        players.model.critic.score.bias.zero_()
    figures, state = step(
        players, prompts, lambda texts: torch.full((len(texts),), 7.0), unfinished_penalty=0.0
    )
    assert state.baseline == pytest.approx(7.0)
    assert figures["reward"] == pytest.approx(7.0)  # the curves show the reward itself
    assert figures["value_loss"] < 0.01  # the price of divergence alone, where 7 would give 24
    later = State(step=3, baseline=2.0)
    ppo_step(
        players, prompts, lambda texts: Scores(torch.ones(len(texts)), None, {}),
        PpoSettings(max_new_tokens=6), later, generator(),
    )  # fmt: skip
    assert later.baseline == 2.0  # never again


def test_a_loss_that_is_not_finite_ends_the_run(tokenizer, prompts):
    players = make_players(tokenizer)
    with torch.no_grad():
        next(iter(players.model.critic.parameters())).fill_(math.inf)
    with pytest.raises(BadInput, match="no longer finite"):
        step(players, prompts, lambda texts: torch.ones(len(texts)))


def test_the_first_ratio_is_1_so_nothing_is_clipped(tokenizer, prompts):
    figures, state = step(make_players(tokenizer), prompts, lambda texts: torch.rand(len(texts)))
    assert figures["clip_fraction"] == 0.0
    assert figures["policy_loss"] == pytest.approx(0.0, abs=1e-5)  # the mean white advantage
    assert state.step == 1

"""Scores of the fast way against a plain forward pass of each prompt alone."""

import logging
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
import torch

from pipelines.models.local import LocalModel
from pipelines.models.local_memory import TokenBudget
from pipelines.models.local_model import Loaded, load
from pipelines.models.local_prefix import Prefixes
from pipelines.models.local_scoring import Question, Scorer

ANSWERS = (40, 41)


def scorer_of(loaded: Loaded, tokens: int = 4000, ceiling: int | None = None) -> Scorer:
    return Scorer(loaded, Prefixes(loaded), TokenBudget(tokens, ceiling), max_rows=16)


def questions(n: int, n_preamble: int = 60, group: str | None = "preamble") -> list[Question]:
    """Token ids: a preamble that all share, then 1 to 40 of their own."""
    rng = random.Random(5)
    preamble = [rng.randrange(3, 300) for _ in range(n_preamble)]
    return [
        Question(
            [*preamble, *(rng.randrange(3, 300) for _ in range(1 + 13 * k % 40))], ANSWERS, group
        )
        for k in range(n)
    ]


def scores(scorer: Scorer, asked: list[Question]) -> list[tuple[float, float]]:
    """In the order in which they were asked."""
    found = {id(q): r for batch in scorer.score(asked) for q, r in batch.pairs()}
    return [result for q in asked if (result := found[id(q)]) is not None]


def plain(loaded: Loaded, asked: list[Question]) -> list[tuple[float, float]]:
    """The definition: one full forward pass for each prompt, all logits, nothing shared."""
    results = []
    with torch.inference_mode():
        for question in asked:
            logits = loaded.model(input_ids=torch.tensor([question.ids])).logits[0, -1]
            first, second = torch.log_softmax(logits.float(), 0)[list(question.answers)].tolist()
            results.append((first, second))
    return results


def difference(got: list[tuple[float, float]], expected: list[tuple[float, float]]) -> float:
    assert len(got) == len(expected)
    return float((torch.tensor(got) - torch.tensor(expected)).abs().max())


def test_scores_equal_a_full_forward_pass_of_each_prompt(folder: Path) -> None:
    loaded = load(LocalModel(str(folder)))
    asked = questions(40)
    expected = plain(loaded, asked)
    assert max(e[0] for e in expected) - min(e[0] for e in expected) > 1  # they do differ
    assert difference(scores(scorer_of(loaded), asked), expected) < 1e-4


# What is unlike llama: sliding windows, soft caps, scaled logits, learned positions, experts,
# compressed caches; and state-space layers, where nothing can be shared.
@pytest.mark.parametrize(
    ("model_type", "shape"),
    [
        ("mistral", {"sliding_window": 40}),
        ("gemma2", {"head_dim": 16, "sliding_window": 40, "query_pre_attn_scalar": 16}),
        ("gemma3_text", {"head_dim": 16, "sliding_window": 40, "query_pre_attn_scalar": 16}),
        ("qwen3", {"head_dim": 16}),
        ("granite", {"logits_scaling": 4.0}),
        ("gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 4}),
        ("mixtral", {"num_local_experts": 4}),
        ("mamba", {"state_size": 8}),
    ],
)
def test_scores_are_right_for_other_architectures(
    tmp_path: Path, model_type: str, shape: dict[str, Any]
) -> None:
    loaded = load(LocalModel(str(tiny.make_model(tmp_path / model_type, model_type, **shape))))
    asked = questions(8)
    scorer = scorer_of(loaded)
    assert difference(scores(scorer, asked), plain(loaded, asked)) < 1e-4
    assert scorer.shares == (model_type != "mamba")


def test_a_shared_prefix_changes_nothing(llama: Path) -> None:
    loaded = load(LocalModel(str(llama)))
    shared, alone = questions(20), questions(20, group=None)
    assert difference(scores(scorer_of(loaded), shared), scores(scorer_of(loaded), alone)) < 1e-5


def test_padding_changes_nothing(llama: Path) -> None:
    # One long row makes padding of most of the others' places.
    loaded = load(LocalModel(str(llama)))
    asked = questions(6)
    long = replace(asked[0], ids=asked[0].ids + [7] * 300)
    beside = scores(scorer_of(loaded, tokens=100_000), [*asked, long])[:-1]
    assert difference(beside, scores(scorer_of(loaded, tokens=1), asked)) < 1e-5


def test_a_prefix_that_grows_shorter_is_cut_and_still_right(llama: Path) -> None:
    loaded = load(LocalModel(str(llama)))
    scorer = scorer_of(loaded)
    asked = questions(12)
    twins = [replace(asked[0], ids=[*asked[0].ids, 9]), replace(asked[0], ids=[*asked[0].ids, 8])]
    scores(scorer, twins)  # these share more than the preamble
    assert difference(scores(scorer, asked), plain(loaded, asked)) < 1e-4
    assert difference(scores(scorer, asked[:1]), plain(loaded, asked[:1])) < 1e-4


def test_prompts_that_are_all_the_same_are_scored(llama: Path) -> None:
    loaded = load(LocalModel(str(llama)))
    asked = [replace(questions(1)[0]) for _ in range(3)]
    assert difference(scores(scorer_of(loaded), asked), plain(loaded, asked)) < 1e-4


def test_more_preambles_than_are_kept_are_all_right(llama: Path) -> None:
    loaded = load(LocalModel(str(llama)))
    scorer = scorer_of(loaded)
    asked = [
        replace(question, ids=[3 + number] * 20 + question.ids, group=f"preamble {number}")
        for number in range(12)
        for question in questions(2)
    ]
    assert difference(scores(scorer, asked), plain(loaded, asked)) < 1e-4
    assert difference(scores(scorer, asked), plain(loaded, asked)) < 1e-4


def test_a_cache_that_gives_other_scores_is_given_up_with_a_warning(
    llama: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A model whose positions start anew after a cache, as an architecture of a hub's own code may.
    loaded = load(LocalModel(str(llama)))

    def start_anew(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if kwargs.get("position_ids") is not None:
            kwargs["position_ids"] = kwargs["position_ids"] * 0
        return args, kwargs

    loaded.model.register_forward_pre_hook(start_anew, with_kwargs=True)
    asked = questions(10)
    scorer = scorer_of(loaded)
    with caplog.at_level(logging.WARNING):
        got = scores(scorer, asked)
    assert difference(got, plain(loaded, asked)) < 1e-4
    assert not scorer.shares
    assert "computed anew for every question" in caplog.text


def test_bfloat16_scores_have_the_steps_of_float32(llama: Path) -> None:
    # Stock logits in bfloat16 have 8 bits: few values, and many exact ties between answers.
    loaded = load(LocalModel(str(llama), dtype="bfloat16"))
    asked = questions(40)
    with torch.inference_mode():
        hidden = [
            loaded.model.model(input_ids=torch.tensor([q.ids])).last_hidden_state[0, -1]
            for q in asked
        ]
    weight = loaded.model.lm_head.weight[list(ANSWERS)].float()
    exact = [float((weight[0] - weight[1]) @ h.float()) for h in hidden]
    got = [a - b for a, b in scores(scorer_of(loaded, tokens=1), questions(40, group=None))]
    assert max(abs(a - b) for a, b in zip(exact, got, strict=True)) < 1e-4
    stock = [a - b for a, b in plain(loaded, asked)]
    assert max(abs(a - b) for a, b in zip(exact, stock, strict=True)) > 1e-3


def test_batches_halve_when_memory_ends_and_every_question_is_answered(llama: Path) -> None:
    loaded = load(LocalModel(str(llama)))
    asked = questions(40)
    scorer = scorer_of(loaded, tokens=4000, ceiling=300)
    assert difference(scores(scorer, asked), plain(loaded, asked)) < 1e-4
    assert scorer.budget.tokens <= 300
    assert 1 <= scorer.budget.n_halvings <= 5


def test_a_question_too_large_for_memory_fails_alone(llama: Path) -> None:
    loaded = load(LocalModel(str(llama)))
    asked = [*questions(5, group=None), Question([5] * 400, ANSWERS)]
    scorer = scorer_of(loaded, ceiling=200)
    found = {len(q.ids): r for batch in scorer.score(asked) for q, r in batch.pairs()}
    assert found.pop(400) is None
    assert all(result is not None for result in found.values())


STARVED = """
import resource, sys
import torch
from pipelines.models.local import LocalModel
from pipelines.models.local_memory import TokenBudget
from pipelines.models.local_model import load
from pipelines.models.local_prefix import Prefixes
from pipelines.models.local_scoring import Question, Scorer
torch.set_num_threads(1)
loaded = load(LocalModel(sys.argv[1]))
budget = TokenBudget(10**6)
scorer = Scorer(loaded, Prefixes(loaded), budget, max_rows=4096)
asked = [Question([5 + (k + j) % 300 for j in range(400)], (40, 41)) for k in range(96)]
list(scorer.score(asked[:4]))
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (40 << 20),) * 2)
n_scored = sum(len(batch.results or []) for batch in scorer.score(asked))
print(n_scored, budget.n_halvings)
"""


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="sizes are read from Linux' /proc"
)
def test_a_process_that_really_runs_out_of_memory_goes_on_in_halves(llama: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", STARVED, str(llama)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    n_scored, n_halvings = map(int, done.stdout.split())
    assert n_scored == 96
    assert n_halvings > 0


def test_the_same_questions_get_the_same_scores_to_the_last_bit(llama: Path) -> None:
    loaded = load(LocalModel(str(llama)))
    asked = questions(30)
    assert scores(scorer_of(loaded), asked) == scores(scorer_of(loaded), asked)

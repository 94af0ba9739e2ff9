"""Text that is written: greedy and sampled, alone and in batches, and where it ends."""

import threading
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.models.local import LocalModel
from pipelines.models.local_generation import Prompt, Writer, Written, _nucleus
from pipelines.models.local_memory import TokenBudget
from pipelines.models.local_model import Loaded, load
from pipelines.models.local_prefix import Prefixes

PREAMBLE = [5 + k * 7 % 300 for k in range(40)]


@pytest.fixture(scope="module")
def loaded(llama: Path) -> Loaded:
    return load(LocalModel(str(llama)))


def writer_of(loaded: Loaded, max_rows: int = 8, **options: Any) -> Writer:
    budget = TokenBudget(options.pop("tokens", 4000), options.pop("ceiling", None))
    return Writer(loaded, Prefixes(loaded), budget, max_rows, **options)


def prompts(n: int, **options: Any) -> list[Prompt]:
    return [
        Prompt([*PREAMBLE, *(5 + (k * 13 + j) % 300 for j in range(1 + 7 * k % 20))], **options)
        for k in range(n)
    ]


def texts(writer: Writer, asked: list[Prompt]) -> list[Written]:
    """In the order in which they were asked."""
    found = {id(p): r for b in writer.write(asked, threading.Event()) for p, r in b.pairs()}
    return [result for p in asked if (result := found[id(p)]) is not None]


def greedy_by_hand(loaded: Loaded, prompt: Prompt) -> list[int]:
    """The definition: the likeliest token, again and again, nothing cached."""
    ids = list(prompt.ids)
    with torch.inference_mode():
        for _ in range(prompt.max_tokens):
            ids.append(int(loaded.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] in loaded.eos_ids:
                break
    return ids[len(prompt.ids) :]


@pytest.mark.parametrize("group", [None, "preamble"])
@pytest.mark.parametrize("continuous", [False, True])
def test_greedy_text_is_the_likeliest_token_each_time(
    loaded: Loaded, group: str | None, continuous: bool
) -> None:
    asked = [replace(p, max_tokens=3 + k % 5) for k, p in enumerate(prompts(9, max_tokens=1))]
    asked = [replace(prompt, group=group) for prompt in asked]
    for prompt, written in zip(
        asked, texts(writer_of(loaded, continuous=continuous), asked), strict=True
    ):
        expected = greedy_by_hand(loaded, prompt)
        ended = expected[-1] in loaded.eos_ids
        assert written.text == loaded.tokenizer.decode(expected, skip_special_tokens=True)
        assert written.n_tokens == len(expected)
        assert written.finish == ("stop" if ended else "length")


def test_a_seed_names_a_sample_whatever_is_beside_it(loaded: Loaded) -> None:
    asked = [
        replace(prompt, seed=number, group="preamble" if number % 2 else None)
        for number, prompt in enumerate(prompts(12, max_tokens=6, temperature=0.8))
    ]
    together = texts(writer_of(loaded), asked)
    alone = [texts(writer_of(loaded), [prompt])[0] for prompt in reversed(asked)][::-1]
    assert together == alone
    other = texts(writer_of(loaded), [replace(prompt, seed=99) for prompt in asked])
    assert together != other


def test_equal_seeds_of_different_prompts_do_not_draw_equal_noise(loaded: Loaded) -> None:
    # At a great temperature a token is nearly noise alone.
    asked = prompts(6, max_tokens=3, temperature=1000.0, seed=1)
    assert len({written.text for written in texts(writer_of(loaded), asked)}) == 6


def test_samples_have_the_models_probabilities(loaded: Loaded) -> None:
    prompt = prompts(1, max_tokens=1, temperature=0.7)[0]
    with torch.inference_mode():
        logits = loaded.model(input_ids=torch.tensor([prompt.ids])).logits[0, -1]
    probabilities = torch.softmax(logits / 0.7, 0)
    n = 2000
    written = texts(
        writer_of(loaded, max_rows=500, tokens=10**6),
        [replace(prompt, seed=seed) for seed in range(n)],
    )
    counts = Counter(one.text for one in written)
    expected: dict[str, float] = defaultdict(
        float
    )  # by text: several tokens are halves of characters
    for token, probability in enumerate(probabilities.tolist()):
        expected[loaded.tokenizer.decode([token], skip_special_tokens=True)] += probability
    for text, p in sorted(expected.items(), key=lambda item: -item[1])[:8]:
        assert abs(counts[text] / n - p) < 4.5 * (p * (1 - p) / n) ** 0.5


def test_the_nucleus_is_the_likeliest_tokens_with_the_mass_together() -> None:
    # .5 + .3 reach .75, .5 alone does not; the second row's likeliest token has it alone
    logits = torch.tensor([[0.3, 0.15, 0.5, 0.05], [0.9, 0.05, 0.03, 0.02]]).log()
    kept = torch.isfinite(_nucleus(logits, torch.tensor([[0.75], [0.75]])))
    assert kept.tolist() == [[True, False, True, False], [True, False, False, False]]


def test_a_nucleus_of_one_token_is_greedy_and_leaves_the_others_alone(loaded: Loaded) -> None:
    greedy = prompts(4, max_tokens=5)
    sampled = [replace(prompt, temperature=1.0, seed=3) for prompt in greedy]
    narrow = [replace(prompt, top_p=1e-9) for prompt in sampled]
    mixed = texts(writer_of(loaded), [*narrow, *sampled])
    assert mixed[:4] == texts(writer_of(loaded), greedy)
    assert mixed[4:] == texts(writer_of(loaded), sampled)


def test_text_ends_before_a_stop_text_also_one_of_several_tokens(loaded: Loaded) -> None:
    prompt = prompts(1, max_tokens=12, temperature=1.5, seed=4)[0]
    whole = texts(writer_of(loaded), [prompt])[0]
    assert whole.finish == "length"
    readable = [n for n in range(3, len(whole.text) - 2) if "\ufffd" not in whole.text[n : n + 2]]
    start = readable[0]
    stop = whole.text[start : start + 2]
    cut = texts(writer_of(loaded), [replace(prompt, stop=("never said", stop))])[0]
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish == "stop"
    assert cut.n_tokens < whole.n_tokens


def test_text_ends_with_the_context(loaded: Loaded) -> None:
    assert loaded.context is not None
    asked = [Prompt([7] * (loaded.context - 3), max_tokens=50, temperature=1.0, seed=1)]
    (written,) = texts(writer_of(loaded, tokens=10_000), asked)
    assert written.finish == "stop" or written.n_tokens == 3


def test_batches_halve_when_memory_ends_and_nothing_changes(loaded: Loaded) -> None:
    asked = prompts(10, max_tokens=5, temperature=0.9, seed=3)
    starved = writer_of(loaded, ceiling=150)
    assert texts(starved, asked) == texts(writer_of(loaded), asked)
    assert starved.budget.n_halvings > 0


def test_a_models_own_sampling_settings_are_not_used(llama: Path, tmp_path: Path) -> None:
    # Folders of chat models come with a temperature and a repetition penalty.
    own = tmp_path / "own"
    plain = load(LocalModel(str(llama)))
    plain.model.generation_config.repetition_penalty = 50.0
    plain.model.generation_config.temperature = 5.0
    plain.model.generation_config.do_sample = True
    plain.model.save_pretrained(own)
    plain.tokenizer.save_pretrained(own)
    asked = prompts(4, max_tokens=8)
    got = texts(writer_of(load(LocalModel(str(own)))), asked)
    assert got == texts(writer_of(load(LocalModel(str(llama)))), asked)


def test_nobody_waits_for_text_that_nobody_wants(loaded: Loaded) -> None:
    stopped = threading.Event()
    stopped.set()
    (batch,) = writer_of(loaded).write(prompts(1, max_tokens=400), stopped)
    assert batch.results is not None
    assert batch.results[0].n_tokens == 1


def test_what_continuous_batching_cannot_do_is_done_in_padded_batches(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import tiny_models as tiny

    folder = tiny.make_model(tmp_path / "mamba", "mamba", state_size=8)
    loaded = load(LocalModel(str(folder)))
    asked = prompts(3, max_tokens=4)
    assert texts(writer_of(loaded, continuous=True), asked) == texts(writer_of(loaded), asked)
    assert "no continuous batching" in caplog.text

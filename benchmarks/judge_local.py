"""Judgments per second of the local engine, beside `generate` and a plain forward pass.

    python benchmarks/judge_local.py [--seconds 20] [--questions 4096] [--shapes tiny,7B]

Random weights; what counts is the shape. Each way gets the same questions as text and returns the
log-probabilities of the same two answers, which are compared. Model FLOP utilisation is the share
of the rate of a large matrix product, measured in the same run, that a way reaches with the
operations that it cannot do without: padding counts nothing, nor does a preamble computed again.
On a CPU rates are per CPU second, since the machine may be shared. Rows that need a GPU are
"not measured" without CUDA; with it they take some minutes.
"""

import argparse
import asyncio
import math
import platform
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import tiny_models as tiny
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from pipelines.models.engine import Request
from pipelines.models.local import LocalEngine, LocalModel
from pipelines.models.local_model import Loaded
from pipelines.records import Message

ANSWERS = ("A", "B")
LogProbs = list[tuple[float, float]]


@dataclass(frozen=True)
class Shape:
    """A model's shape and the questions that it is asked, in tokens."""

    name: str
    n_preamble: int
    n_question: int
    config: dict[str, Any]
    needs_gpu: bool = False


def _shape(
    hidden: int, inner: int, layers: int, heads: int, kv: int, **more: Any
) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "max_position_embeddings": 4096,
        **more,
    }


TINY = _shape(128, 384, 4, 4, 2)
SMALL = _shape(256, 704, 6, 8, 4)
# Qwen2.5's.
HALF_BILLION = _shape(896, 4864, 24, 14, 2, vocab_size=151_936, tie_word_embeddings=True)
SEVEN_BILLION = _shape(3584, 18_944, 28, 28, 4, vocab_size=152_064)

SHAPES = (
    Shape("tiny: 1M, short answers", 300, 65, TINY),
    Shape("small: 4M, short answers", 300, 65, SMALL),
    Shape("small: 4M, long answers", 300, 800, SMALL),
    Shape("0.5B, long answers", 300, 800, HALF_BILLION, needs_gpu=True),
    Shape("7B, long answers", 300, 800, SEVEN_BILLION, needs_gpu=True),
)


@dataclass(frozen=True)
class Measured:
    """One way on one shape; seconds of the CPU where that is the device, else of the wall."""

    per_s: float
    utilisation: float
    n: int
    logprobs: LogProbs


# --- what is measured -----------------------------------------------------------------------------


def questions(shape: Shape, n: int) -> list[Request]:
    """Both orders of n / 2 pairs; lengths vary by a quarter either way."""
    preamble = tiny.sentence(7, shape.n_preamble - 8)
    requests = []
    for number in range(n):
        share = 0.75 + 0.5 * ((number // 2) * 37 % 64) / 63
        half = max(1, int(shape.n_question * share / 2) - 12)
        texts = [tiny.sentence(number // 2 * 2 + k, half) for k in (0, 1)]
        first, second = texts if number % 2 == 0 else texts[::-1]
        asked = f"Response A: {first}\nResponse B: {second}\nWhich response is better?"
        messages = (Message(role="system", content=preamble), Message(role="user", content=asked))
        requests.append(Request(messages, answers=ANSWERS, shared_chars=len(preamble)))
    return requests


def random_model(shape: Shape, device: torch.device) -> Loaded:
    """The shape with random weights, in the dtype that the engine would load it in."""
    tokenizer = tiny.make_tokenizer()
    options = {"vocab_size": len(tokenizer) + 8} | shape.config
    config = AutoConfig.for_model("llama", **options, pad_token_id=0, eos_token_id=2)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    torch.manual_seed(0)
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.eval().requires_grad_(False)
    n_tokens = config.vocab_size
    return Loaded(shape.name, model, tokenizer, device, 4096, n_tokens, (2,), 0)


def matmul_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product: the best of several."""
    size = 1024 if device.type == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = math.inf
    for _ in range(6):
        start = now(device)
        for _ in range(2):
            a @ b
        best = min(best, now(device) - start)
    return 2 * 2 * size**3 / best


def now(device: torch.device) -> float:
    """Seconds: of the CPU where that is the device, else of the wall, with all work done."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def flops(model: Any, n_new: int, n_past: int, n_logits: int = 1) -> float:
    """Operations of a pass over `n_new` tokens behind `n_past` others: two for each weight and
    token, and four for each query, key before it and number of a head; logits of `n_logits`."""
    config = model.config
    head_size = config.hidden_size // config.num_attention_heads
    weights = sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    )
    seen = n_new * n_past + n_new * (n_new + 1) / 2
    attention = 4 * seen * config.num_attention_heads * head_size * config.num_hidden_layers
    return 2 * weights * n_new + attention + 2 * n_logits * model.lm_head.weight.numel()


# --- three ways -----------------------------------------------------------------------------------


def by_generate(loaded: Loaded, requests: Sequence[Request], n_rows: int) -> LogProbs:
    """What a first script does: `generate` for one token, padded on the left, as they come."""
    logits = []
    for start in range(0, len(requests), n_rows):
        batch = padded(loaded, requests[start : start + n_rows])
        output = loaded.model.generate(
            **batch,
            max_new_tokens=1,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=0,
        )
        logits.append(output.logits[0])
    return answers_of(loaded, torch.cat(logits))


def by_forward(loaded: Loaded, requests: Sequence[Request], n_rows: int) -> LogProbs:
    """A careful script: one forward pass, sorted by length, logits of the last token only."""
    order = sorted(range(len(requests)), key=lambda k: len(requests[k].messages[-1].content))
    rows: list[tuple[float, float]] = [(0.0, 0.0)] * len(requests)
    for start in range(0, len(order), n_rows):
        chosen = order[start : start + n_rows]
        batch = padded(loaded, [requests[k] for k in chosen])
        positions = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
        with torch.inference_mode():
            logits = loaded.model(
                **batch, position_ids=positions, use_cache=False, logits_to_keep=1
            ).logits[:, -1]
        for k, found in zip(chosen, answers_of(loaded, logits), strict=True):
            rows[k] = found
    return rows


def by_engine(engine: LocalEngine, requests: Sequence[Request]) -> LogProbs:
    """The local engine, as a judge's run asks it."""

    async def source() -> AsyncIterator[tuple[int, Request]]:
        for numbered in enumerate(requests):
            yield numbered

    async def collect() -> dict[int, tuple[float, float] | None]:
        return {key: reply.answer_logprobs async for key, reply in engine.ask(source())}

    found = asyncio.run(collect())
    return [scored for k in range(len(requests)) if (scored := found[k]) is not None]


def padded(loaded: Loaded, requests: Sequence[Request]) -> dict[str, torch.Tensor]:
    batch = loaded.tokenizer.apply_chat_template(
        [[{"role": m.role, "content": m.content} for m in r.messages] for r in requests],
        add_generation_prompt=True,
        padding=True,
        return_tensors="pt",
        return_dict=True,
        tokenizer_kwargs={"padding_side": "left"},
    )
    return {key: batch[key].to(loaded.device) for key in ("input_ids", "attention_mask")}


def answers_of(loaded: Loaded, logits: torch.Tensor) -> LogProbs:
    letters = loaded.tokenizer.convert_tokens_to_ids(list(ANSWERS))
    return [(a, b) for a, b in torch.log_softmax(logits.float(), -1)[:, letters].tolist()]


# --- the measurement ------------------------------------------------------------------------------


def measure(shape: Shape, device: torch.device, seconds: float, at_most: int) -> list[list[str]]:
    """Rows of the table for one shape: as many questions as `generate` answers in some seconds."""
    loaded = random_model(shape, device)
    engine = LocalEngine(LocalModel(shape.name), loaded)
    sample = questions(shape, 8)
    ids = loaded.tokenizer.apply_chat_template(
        [[{"role": m.role, "content": m.content} for m in r.messages] for r in sample],
        add_generation_prompt=True,
        return_dict=False,
    )
    n_whole = sum(map(len, ids)) / len(ids)
    n_shared = next(k for k, tokens in enumerate(zip(*ids, strict=False)) if len(set(tokens)) > 1)
    whole = flops(loaded.model, round(n_whole), 0)
    own = flops(loaded.model, round(n_whole) - n_shared, n_shared)
    ways: tuple[tuple[str, float, Callable[[list[Request]], LogProbs]], ...] = (
        ("`generate(max_new_tokens=1)`", whole, lambda asked: by_generate(loaded, asked, 32)),
        ("batched forward pass", whole, lambda asked: by_forward(loaded, asked, 32)),
        ("**local engine**", own, lambda asked: by_engine(engine, asked)),
    )
    few = questions(shape, 32)
    by_generate(loaded, few[:8], 8)
    start = now(device)
    by_generate(loaded, few, 32)
    n = min(at_most, max(64, 32 * round(seconds / (now(device) - start))))
    asked = questions(shape, n)
    results = []
    for _, needed, way in ways:
        way(few)  # warm
        rate = matmul_flops(device, loaded.model.dtype)
        start = now(device)
        logprobs = way(asked)
        per_s = n / (now(device) - start)
        results.append(Measured(per_s, per_s * needed / rate, n, logprobs))
    return [
        [
            shape.name,
            f"{n_shared} + {n_whole - n_shared:.0f}",
            name,
            f"{result.per_s:,.1f}",
            f"{result.per_s / results[0].per_s:.1f}x",
            f"{result.utilisation:.0%}",
            f"{largest_difference(result.logprobs, results[0].logprobs):.0e}",
        ]
        for (name, _, _), result in zip(ways, results, strict=True)
    ]


def largest_difference(some: LogProbs, others: LogProbs) -> float:
    """Of the probability that the first answer has of the two."""
    shares = [torch.softmax(torch.tensor(rows), -1)[:, 0] for rows in (some, others)]
    return float((shares[0] - shares[1]).abs().max())


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(header)
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def machine(device: torch.device) -> str:
    where = (
        f"{platform.machine()} CPU, {torch.get_num_threads()} thread(s)"
        if device.type == "cpu"
        else torch.cuda.get_device_name(device)
    )
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    return f"{where}; Python {platform.python_version()}, {versions}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    arguments.add_argument("--seconds", type=float, default=20.0, help="of the slowest way")
    arguments.add_argument("--questions", type=int, default=4096, help="at most")
    arguments.add_argument("--device", default="auto")
    arguments.add_argument("--shapes", default="", help="only those whose name begins with one")
    arguments.add_argument("--threads", type=int, default=1, help="on a CPU")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    cuda = torch.cuda.is_available()
    device = torch.device(options.device if options.device != "auto" else "cuda" if cuda else "cpu")
    wanted = tuple(options.shapes.split(","))
    rows: list[list[str]] = []
    for shape in SHAPES:
        if not shape.name.startswith(wanted):
            continue
        if shape.needs_gpu and device.type == "cpu":
            rows.append(
                [shape.name, f"{shape.n_preamble} + {shape.n_question}", *["not measured"] * 5]
            )
            continue
        print(f"{shape.name} on {device}", file=sys.stderr)
        rows += measure(shape, device, options.seconds, options.questions)
    print(f"{machine(device)}\n")
    per = "judgments per CPU s" if device.type == "cpu" else "judgments per s"
    print(
        table(
            (
                "shape",
                "tokens, shared + own",
                "way",
                per,
                "against generate",
                "FLOP utilisation",
                "largest difference of p_a",
            ),
            rows,
        )
    )


if __name__ == "__main__":
    main()

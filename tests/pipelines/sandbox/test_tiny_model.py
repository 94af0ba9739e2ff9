"""The tiny language model: its words, its training, and the checkpoint that ships."""

import asyncio
import json
import math
import random
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipelines.models.engine import Request
from pipelines.models.local import LocalEngine, LocalModel
from pipelines.models.sampling import sample_ids
from pipelines.records import Message
from pipelines.sandbox.tiny_model import (
    Shape,
    encode_prompt,
    encode_reply,
    make_tokenizer,
    new_model,
    vocabulary,
)
from pipelines.sandbox.tiny_model_check import check
from pipelines.sandbox.tiny_model_sampling import sample_replies
from pipelines.sandbox.tiny_model_training import Recipe, train
from pipelines.sandbox.world import PRINCIPLES, draw_reply, draw_situation, score
from pipelines.sandbox.world_prompts import draw_prompts
from workbench.data_files import data_dir

MODEL = data_dir() / "helpdesk" / "model"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # a model this small is many times slower with two
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shipped():
    model = AutoModelForCausalLM.from_pretrained(MODEL)
    return model.eval(), AutoTokenizer.from_pretrained(MODEL)


def test_every_text_of_the_world_survives_its_tokens():
    tokenizer = make_tokenizer()
    rng = random.Random(0)
    skill = dict.fromkeys(PRINCIPLES, 0.5)
    for _ in range(500):
        situation = draw_situation(rng)
        reply = draw_reply(situation, rng, skill)
        assert tokenizer.unk_token_id not in encode_prompt(tokenizer, situation.text)
        ids = encode_reply(tokenizer, reply)
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == reply
    assert len(tokenizer) == len(vocabulary()) + 5


def test_the_chat_template_says_what_training_saw_and_marks_the_reply():
    tokenizer = make_tokenizer()
    situation = draw_situation(random.Random(1))
    reply = draw_reply(situation, random.Random(1), 1.0)
    messages = [
        {"role": "user", "content": situation.text},
        {"role": "assistant", "content": reply},
    ]
    prompt = tokenizer.apply_chat_template(
        messages[:1], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    assert prompt == encode_prompt(tokenizer, situation.text)
    whole = tokenizer.apply_chat_template(
        messages, return_dict=True, return_assistant_tokens_mask=True
    )
    end = encode_reply(tokenizer, reply)
    assert whole["input_ids"] == prompt + end
    assert whole["assistant_masks"] == [0] * len(prompt) + [1] * len(end)


def test_a_small_model_learns_in_seconds_and_the_same_seed_learns_the_same():
    recipe = Recipe(
        steps=260,
        batch=32,
        learning_rate=6e-3,
        warm_up=20,
        shape=Shape(hidden=64, layers=2, mlp=160),
    )
    done = []
    trained = train(recipe, lambda step, loss: done.append(step))
    assert done == list(range(1, 261))
    assert trained.losses[0] == pytest.approx(math.log(234), abs=0.3)  # it knows nothing
    assert sum(trained.losses[-20:]) / 20 < 0.32  # nats; the demonstrations' own entropy is 0.22
    situations = draw_prompts(100, 0, "held-out")
    texts = [one.text for one in situations]
    said = sample_replies(trained.model, trained.tokenizer, texts, 0)
    fluent = [score(one, reply)["fluent"] for one, reply in zip(situations, said, strict=True)]
    assert sum(fluent) >= 60  # of 100; the one that ships has 97
    assert said == sample_replies(trained.model, trained.tokenizer, texts, 0)
    assert said != sample_replies(trained.model, trained.tokenizer, texts, 1)
    short = replace(recipe, steps=3)
    assert train(short).losses == train(short).losses


def test_padding_and_cache_change_nothing():
    tokenizer = make_tokenizer()
    model = new_model(len(tokenizer), Shape(hidden=32, layers=2, mlp=64), seed=0).eval()
    texts = [one.text for one in draw_prompts(6, 0)]
    prompts = [encode_prompt(tokenizer, text) for text in texts]
    settings = {"pad_id": 0, "end_ids": (1,), "temperature": 0.0, "max_new_tokens": 12}
    batched = sample_ids(model, prompts, torch.Generator(), **settings)
    for prompt, got in zip(prompts, batched, strict=True):
        ids = list(prompt)
        with torch.inference_mode():  # no batch, no cache: the slow definition
            for _ in range(12):
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
                if ids[-1] == 1:
                    break
        assert got == ids[len(prompt) :]


def test_the_shipped_model_is_fluent_and_makes_the_planted_faults_at_their_rates(shipped):
    found = check(*shipped, n=600, seed=11)
    assert found.faults["fluent"].high <= 0.065
    assert found.fluent >= 0.95
    for principle in set(PRINCIPLES) - {"fluent"}:
        rate, planted = found.faults[principle], found.planted[principle]
        # binomial error of the sample, and what a third of a million parameters do not know
        bound = 3.5 * (planted * (1 - planted) / rate.n) ** 0.5 + 0.03
        assert rate.estimate == pytest.approx(planted, abs=bound), principle


def test_the_record_beside_the_shipped_model_is_what_it_does(shipped):
    record = json.loads((MODEL / "training.json").read_text("utf-8"))
    assert record["n_parameters"] == shipped[0].num_parameters()
    assert record["fault_rates"]["fluent"]["estimate"] <= 0.05
    assert record["n_held_out"] >= 1000
    files = [file for file in MODEL.iterdir() if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 4_000_000


def test_the_card_says_what_the_record_says():
    card = (MODEL.parent / "README.md").read_text("utf-8")
    for name, rate in json.loads((MODEL / "training.json").read_text("utf-8"))[
        "fault_rates"
    ].items():
        interval = f"({rate['low']:.1%} to {rate['high']:.1%})"
        found = f"{rate['estimate']:.1%} {interval}"
        row = f"| {name} | {rate['planted']:.1%} | {found} | {rate['n']:,} |"
        assert row in card


def test_the_local_engine_runs_the_shipped_model():
    engine = LocalEngine(LocalModel(model=str(MODEL), device="cpu"))
    situations = draw_prompts(40, 5, "held-out")

    async def ask():
        async def requests():
            for number, one in enumerate(situations):
                message = Message(role="user", content=one.text)
                yield number, Request((message,), max_tokens=64, temperature=1.0, seed=number)

        return {key: reply async for key, reply in engine.ask(requests())}

    replies = asyncio.run(ask())
    fluent = [score(one, replies[number].text)["fluent"] for number, one in enumerate(situations)]
    assert sum(fluent) >= 34  # of 40; P(fewer) < 1e-4 at 96%
    assert {reply.finish for reply in replies.values()} == {"stop"}

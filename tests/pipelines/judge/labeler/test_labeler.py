"""Trained labelers: antisymmetric, honest on prompts left out, the same after saving."""

import os
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import BadInput, Undefined
from pipelines.judge.labeler.card import Labelled, longer_wins, read_card
from pipelines.judge.labeler.fit import fit_labeler, load_labeler
from pipelines.preferences.audited import Audited
from pipelines.records import PreferencePair

WORDS = ("plan", "works", "step", "then", "clear", "ask", "help", "note", "list", "why")


def labelled(n, seed=0, flip=0.1):
    """People prefer the response that thanks, whatever its length; some slip."""
    rng = np.random.default_rng(seed)
    pairs, y = [], []
    for k in range(n):
        thanks = int(rng.integers(2))
        texts = [
            " ".join(rng.choice(WORDS, size=rng.integers(5, 15)))
            + (" thank you kindly" if j == thanks else "")
            for j in (0, 1)
        ]
        pairs.append(
            PreferencePair(
                id=f"p{k}", prompt=f"ask {k // 2}", response_a=texts[0], response_b=texts[1]
            )
        )
        y.append(float((thanks == 0) != (rng.random() < flip)))
    n_prompts = np.arange(n) // 2
    audited = Audited(np.arange(n), np.array(y), np.ones(n), np.zeros(n, dtype=bool), n_prompts)
    return Labelled(pairs, audited)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("labelers") / "kind"
    fit_labeler("kind", labelled(200), folder)
    return folder


def test_it_learns_what_people_like_and_beats_length(folder):
    card = read_card(folder)
    assert card.accuracy.low > 0.8
    assert card.over_longer_wins.low > 0.1
    assert card.accuracy.n == card.longer_wins.n == 200
    # On fresh pairs it does what its card says.
    fresh = labelled(400, seed=9)
    right = np.mean((load_labeler(folder).p_a(fresh.pairs) > 0.5) == (fresh.y > 0.5))
    assert card.accuracy.low - 0.05 <= right <= card.accuracy.high + 0.05


def test_swapping_the_responses_swaps_the_label(folder):
    labeler, pairs = load_labeler(folder), labelled(50, seed=3).pairs
    swapped = labeler.p_a([pair.swap() for pair in pairs])
    assert swapped == pytest.approx(1.0 - labeler.p_a(pairs), abs=1e-12)


def test_a_saved_labeler_holds_no_code_and_gives_the_same(folder, tmp_path):
    data = labelled(60, seed=4)
    fit_labeler("again", data, tmp_path / "again")
    fit_labeler("again", data, tmp_path / "again")  # replaces itself
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == [
        "features.npz",
        "labeler.json",
    ]
    one, two = load_labeler(tmp_path / "again"), load_labeler(tmp_path / "again")
    assert np.array_equal(one.p_a(data.pairs), two.p_a(data.pairs))


def test_on_noise_it_is_a_coin(tmp_path):
    data = labelled(160, seed=5, flip=0.5)
    card = fit_labeler("noise", data, tmp_path / "noise")
    assert card.accuracy.low < 0.5 < card.accuracy.high + 0.1
    assert card.log_loss > 0.65


def test_longer_wins_by_hand():
    made = [
        PreferencePair(prompt="q", response_a=a, response_b=b)
        for a, b in (("long", "s"), ("s", "long"), ("same", "size"))
    ]
    assert longer_wins(made).tolist() == [1.0, 0.0, 0.5]


def test_mistakes_are_one_sentence(folder, tmp_path):
    with pytest.raises(Undefined, match="too few"):
        fit_labeler("few", labelled(6), tmp_path / "few")
    with pytest.raises(BadInput, match="no labeler here"):
        load_labeler(tmp_path / "nothing")
    with pytest.raises(BadInput, match="no encoder"):
        fit_labeler("e", labelled(60), tmp_path / "e", encoder=tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "labeler.json").write_bytes((folder / "labeler.json").read_bytes())
    (broken / "features.npz").write_bytes(b"no arrays")
    with pytest.raises(BadInput, match="cannot be read"):
        load_labeler(broken)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A Llama of a few thousand weights with a tokenizer of bytes, as a folder."""
    pytest.importorskip("torch")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    tokens = ByteLevelBPETokenizer()
    tokens.train_from_iterator(
        [" ".join(WORDS) + " thank you kindly"] * 4, vocab_size=300, special_tokens=["<eos>"]
    )
    tokens.save(str(folder / "raw.json"))
    PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "raw.json"), eos_token="<eos>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    LlamaModel(
        LlamaConfig(
            vocab_size=tokens.get_vocab_size(),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=128,
            bos_token_id=None,
            eos_token_id=0,
        )
    ).save_pretrained(folder)
    return folder


def test_a_fine_tuned_classifier_learns_and_is_antisymmetric(tiny, tmp_path):
    from pipelines.judge.labeler.classifier import Training

    data = labelled(80, seed=6, flip=0.0)
    training = Training(
        base=str(tiny), epochs=4, batch=8, learning_rate=5e-3, max_tokens=48, n_folds=2
    )
    card = fit_labeler("tuned", data, tmp_path / "tuned", training=training)
    assert card.kind == "classifier"
    assert card.accuracy.low > 0.7
    labeler = load_labeler(tmp_path / "tuned")
    swapped = labeler.p_a([pair.swap() for pair in data.pairs])
    assert swapped == pytest.approx(1.0 - labeler.p_a(data.pairs), abs=1e-5)
    assert (tmp_path / "tuned" / "model" / "model.safetensors").exists()


def test_a_device_that_is_not_here_is_one_sentence(tiny):
    from pipelines.judge.labeler.classifier import Training, load_classifier

    with pytest.raises(BadInput, match="no classifier can be loaded"):
        load_classifier(tiny, Training(base=str(tiny), device="cuda:99"))


def test_embeddings_of_a_local_encoder_are_odd_and_used(tiny, tmp_path):
    from pipelines.judge.labeler.encoder import Encoder

    data = labelled(60, seed=7)
    encoder = Encoder(tiny)
    first = encoder.differences(data.pairs)
    assert first.shape == (60, 32)
    assert encoder.differences([pair.swap() for pair in data.pairs]) == pytest.approx(
        -first, abs=1e-5
    )
    card = fit_labeler("embedded", data, tmp_path / "embedded", encoder=tiny)
    assert card.settings["encoder"] == str(tiny)
    labeler = load_labeler(tmp_path / "embedded")
    assert ((labeler.p_a(data.pairs) > 0.5) == (data.y > 0.5)).mean() > 0.6

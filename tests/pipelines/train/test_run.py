"""Runs of every offline trainer: what is refused beforehand, what is left behind."""

import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from pipelines.errors import BadInput
from pipelines.sandbox.tiny_model import Shape, make_tokenizer, new_model
from pipelines.train import loading, run
from pipelines.train.curves import read_curves
from pipelines.train.learning_curve import with_learning_curve
from pipelines.train.loading import check_memory, need, start_from
from pipelines.train.reward import rewards
from pipelines.train.run import METHODS, prepare, train
from pipelines.train.run_folder import RunFolder, content_hash, runs_of
from pipelines.train.settings import TrainSettings
from workbench.app.training_runs import confidence, growth

OFFLINE = tuple(METHODS)


def settings_of(method, tiny_folder, *, section=None, **said):
    own = {"learning_rate": 1e-3, "batch_size": 8, **(section or {})}
    return TrainSettings.model_validate(
        {
            "model": str(tiny_folder), "max_length": 96, "device": "cpu", "tensorboard": False,
            "labels": "hard", "weights": "ignore", "log_every": 2, method: own, **said,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory, make_rows, lines):
    folder = tmp_path_factory.mktemp("data")
    lines(folder / "trl-train.jsonl", make_rows(32))
    lines(folder / "trl-test.jsonl", make_rows(10, "test"))
    return folder / "trl.jsonl"


def weights(folder):
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


@pytest.mark.parametrize("method", OFFLINE)
def test_a_run_leaves_a_model_curves_and_a_result(method, data, tiny_folder, tmp_path):
    prepared = prepare(method, settings_of(method, tiny_folder), tmp_path, data)
    folder = RunFolder(tmp_path / "runs" / "train" / method)
    steps = []
    result = train(prepared, folder, lambda done, n: steps.append((done, n)))
    n_steps = 8 if method == "kto" else 4  # two replies a pair
    assert steps == [(k, n_steps) for k in range(1, n_steps + 1)]
    assert result == folder.result()
    assert (result["method"], result["steps"]) == (method, n_steps)
    assert result["n_held_out"] == (20 if method == "kto" else 10)
    assert 0.0 < result["held_out_loss"] < 20.0
    points = read_curves(folder.path)
    assert [point["step"] for point in points] == [1, *range(2, n_steps + 1, 2)]
    assert {"loss", "gradient_norm", "learning_rate"} <= set(points[0])
    if method != "sft":
        assert "margin" in points[0]
        assert ("accuracy" in points[0]) == (method != "kto")  # which has no pairs
    moved = AutoTokenizer.from_pretrained(folder.model)
    assert moved.chat_template
    if method != "reward":
        after, before = weights(folder.model), weights(tiny_folder)
        assert any(not torch.equal(after[name], before[name]) for name in before)
    assert not folder.checkpoints.exists()
    assert runs_of(tmp_path) == [folder]


@pytest.mark.parametrize("method", ["sft", "reward", "dpo", "kto", "orpo"])
def test_lora_leaves_a_whole_model_and_its_adapter(method, data, tiny_folder, tmp_path):
    lora = {"use": True, "rank": 2, "alpha": 4}
    settings = settings_of(method, tiny_folder, max_steps=2, lora=lora)
    prepared = prepare(method, settings, tmp_path, data)
    folder = RunFolder(tmp_path / "run")
    train(prepared, folder)
    assert (folder.path / "adapter" / "adapter_config.json").is_file()
    kind = AutoModelForSequenceClassification if method == "reward" else AutoModelForCausalLM
    state = kind.from_pretrained(folder.model).state_dict()
    before = kind.from_pretrained(tiny_folder, **({"num_labels": 1} if method == "reward" else {}))
    changed = {
        name for name, value in before.state_dict().items() if not torch.equal(value, state[name])
    }
    assert any("q_proj" in name for name in changed)
    assert not any("embed" in name or "norm" in name for name in changed)


def test_a_finished_run_is_not_trained_again_and_another_setting_is_refused(
    data, tiny_folder, tmp_path
):
    folder = RunFolder(tmp_path / "dpo")
    prepared = prepare("dpo", settings_of("dpo", tiny_folder, max_steps=2), tmp_path, data)
    first = train(prepared, folder)
    written = (folder.model / "model.safetensors").stat().st_mtime_ns
    steps = []
    again = prepare(
        "dpo", settings_of("dpo", tiny_folder, max_steps=2, save_every=7), tmp_path, data
    )
    assert train(again, folder, lambda *step: steps.append(step)) == first
    assert steps == []
    assert (folder.model / "model.safetensors").stat().st_mtime_ns == written
    own = {"beta": 0.3}
    other = settings_of("dpo", tiny_folder, max_steps=3, section=own)
    with pytest.raises(BadInput, match=r"begun with another \[train\] (max_steps|dpo.beta)") as no:
        train(prepare("dpo", other, tmp_path, data), folder)
    assert "[train] max_steps" in str(no.value)
    assert "[train] dpo.beta" in str(no.value)
    assert "\n" not in str(no.value)


def test_the_same_data_and_model_elsewhere_are_the_same_run(
    data, tiny_folder, tmp_path, lines, make_rows
):
    folder = RunFolder(tmp_path / "run")
    settings = settings_of("dpo", tiny_folder)
    assert not folder.begin(prepare("dpo", settings, tmp_path, data).asked)
    shutil.copytree(data.parent, tmp_path / "moved")
    shutil.copytree(tiny_folder, tmp_path / "same-model")
    moved = settings.model_copy(update={"model": "same-model"})
    assert folder.begin(prepare("dpo", moved, tmp_path, tmp_path / "moved" / "trl.jsonl").asked)
    lines(tmp_path / "moved" / "trl-test.jsonl", make_rows(9, "test"))
    with pytest.raises(BadInput, match="begun with another data;"):
        folder.begin(prepare("dpo", moved, tmp_path, tmp_path / "moved" / "trl.jsonl").asked)


def test_a_reward_model_is_scored_on_held_out_labels_of_people(data, tiny_folder, tmp_path):
    folder = RunFolder(tmp_path / "reward")
    prepared = prepare("reward", settings_of("reward", tiny_folder), tmp_path, data)
    result = with_learning_curve(prepared, [0.25, 0.5], folder)
    scored = result["held_out_pairs"]
    assert (scored["human"]["n"], scored["all"]["n"]) == (5, 10)
    model = AutoModelForSequenceClassification.from_pretrained(folder.model)
    tokenizer = AutoTokenizer.from_pretrained(folder.model)
    held_out = [row for row in prepared.rows.held_out if row.by_human]
    chosen = rewards(model, tokenizer, [(row.prompt, row.chosen) for row in held_out], 96)
    rejected = rewards(model, tokenizer, [(row.prompt, row.rejected) for row in held_out], 96)
    right = sum(c > r for c, r in zip(chosen, rejected, strict=True))
    accuracy = scored["human"]["accuracy"]
    assert (accuracy["estimate"], accuracy["n"]) == (right / 5, 5)
    assert accuracy["low"] < accuracy["estimate"] < accuracy["high"] or right in (0, 5)
    curve = result["learning_curve"]
    assert [(point["share"], point["n_pairs"]) for point in curve] == [
        (0.25, 8),
        (0.5, 16),
        (1, 32),
    ]
    assert curve[-1]["human"] == accuracy
    assert [n for n, _ in growth(result, "human")] == [8, 16, 32]  # the page reads what is written
    assert sum(share.n for _, share in confidence(result, "all")) == 10
    assert all(point["all"]["n"] == 10 for point in curve)
    steps = []
    assert with_learning_curve(prepared, [0.5], folder, lambda *at: steps.append(at))
    assert steps == []  # nothing is trained twice
    assert (
        json.loads((folder.path / "result.json").read_text())["learning_curve"][0]["share"] == 0.5
    )


def test_packing_changes_the_steps_and_not_what_is_learnt_from(data, tiny_folder, tmp_path):
    losses = {}
    for packing in (False, True):
        own = {"packing": packing, "learning_rate": 1e-9, "batch_size": 32 if not packing else 99}
        settings = settings_of("sft", tiny_folder, section=own, max_steps=1)
        folder = RunFolder(tmp_path / str(packing))
        losses[packing] = train(prepare("sft", settings, tmp_path, data), folder)["loss"]
    # One batch holds all rows either way: the same tokens, none of which sees another row.
    assert losses[True] == pytest.approx(losses[False], rel=1e-4)


def test_the_prompt_is_masked_from_the_loss_of_sft(tiny_folder, make_rows, lines, tmp_path):
    [row] = make_rows(1)
    path = lines(tmp_path / "one.jsonl", [row])
    settings = settings_of("sft", tiny_folder, max_steps=1, section={"batch_size": 1})
    result = train(prepare("sft", settings, tmp_path, path), RunFolder(tmp_path / "run"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    whole = tokenizer.apply_chat_template(row["prompt"] + row["chosen"], return_dict=False)
    n_prompt = len(
        tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
    )
    ids = torch.tensor([whole])
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(tiny_folder)(ids).logits[0, n_prompt - 1 : -1]
    expected = torch.nn.functional.cross_entropy(logits, ids[0, n_prompt:])
    assert result["loss"] == pytest.approx(expected.item(), rel=1e-4)


# What is refused, and that no weight is read for it.


@pytest.fixture
def no_model_is_loaded(monkeypatch):
    def never(*_):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(run, "load_model", never)


def refused(words, method, settings, base, path):
    with pytest.raises(BadInput, match=words) as mistake:
        train(prepare(method, settings, base, path), RunFolder(base / "run"))
    assert "\n" not in str(mistake.value)


@pytest.mark.usefixtures("no_model_is_loaded")
def test_a_model_that_cannot_be_trained_is_refused(data, tiny_folder, tmp_path):
    refused("no model is named", "dpo", settings_of("dpo", ""), tmp_path, data)
    refused("there is no such folder", "dpo", settings_of("dpo", "./none"), tmp_path, data)
    bare = tmp_path / "bare"
    shutil.copytree(tiny_folder, bare)
    (bare / "chat_template.jinja").unlink()
    refused("has no chat template", "sft", settings_of("sft", bare), tmp_path, data)
    small = tmp_path / "small"
    new_model(40, loading_shape(), 0).save_pretrained(small)
    make_tokenizer().save_pretrained(small)
    refused("the tokenizer has .* tokens and the model 40", "dpo", settings_of("dpo", small),
            tmp_path, data)  # fmt: skip


def loading_shape():
    return Shape(hidden=16, layers=1, mlp=16, heads=2)


@pytest.mark.usefixtures("no_model_is_loaded")
def test_settings_that_this_machine_or_these_data_cannot_have_are_refused(
    data, tiny_folder, tmp_path, lines, make_rows
):
    def settings(method="dpo", **said):
        return settings_of(method, tiny_folder, **said)

    if not torch.cuda.is_available():
        refused("torch sees no CUDA GPU", "dpo", settings(device="cuda"), tmp_path, data)
    refused("bfloat16", "dpo", settings(precision="bfloat16"), tmp_path, data)
    soft = {"labels": "soft"}
    refused("orpo knows no soft labels", "orpo", settings("orpo", **soft), tmp_path, data)
    aot = settings(section={"loss": "aot"}, **soft)
    refused('loss "aot" knows no soft labels', "dpo", aot, tmp_path, data)
    refused("knows no weights", "orpo", settings("orpo", weights="use"), tmp_path, data)
    one = settings("kto", section={"batch_size": 1})
    refused("set batch_size to 2 or more", "kto", one, tmp_path, data)
    refused("rows are longer", "dpo", settings(max_length=20, over_length="refuse"), tmp_path, data)
    refused("no training row is left", "dpo", settings(max_length=8), tmp_path, data)
    long = lines(tmp_path / "long.jsonl", [make_rows(1)[0] | {"prompt": "order " * 300}])
    words = "knows 256 positions, and a text may take 3.. tokens; set max_length"
    refused(words, "dpo", settings(max_length=1024), tmp_path, long)


@pytest.mark.usefixtures("no_model_is_loaded")
def test_kto_needs_both_kinds_of_replies(tiny_folder, tmp_path, lines):
    row = {"prompt": "Why?", "completion": "Because.", "label": True}
    path = lines(tmp_path / "kto.jsonl", [row, row])
    words = "none of the 2 rows is unwanted"
    refused(words, "kto", settings_of("kto", tiny_folder), tmp_path, path)


@pytest.mark.usefixtures("no_model_is_loaded")
def test_too_little_memory_is_said_beforehand(data, tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "free_bytes", lambda _: 100_000)
    words = "takes about .* GiB before any activation, and 0.0 GiB are free on cpu"
    refused(words, "dpo", settings_of("dpo", tiny_folder), tmp_path, data)


def test_the_estimate_counts_weights_moments_copies_and_adapters(tiny_folder, tmp_path):
    settings = settings_of("dpo", tiny_folder)
    start = start_from(settings, tmp_path)
    n = sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(tiny_folder).parameters())
    full = need(start, settings, 100)
    assert (full.n_parameters, full.states) == (n, 16 * n)
    assert need(start, settings, 100, copies=1).states == 20 * n
    assert need(start, settings, 200).activations == 2 * full.activations
    lora = settings_of("dpo", tiny_folder, lora={"use": True, "rank": 1})
    assert need(start, lora, 100).states < 16 * n
    assert need(start, settings_of("dpo", tiny_folder, gradient_checkpointing=True), 100).total < (
        full.total
    )
    check_memory(start, full)


def test_ties_and_weights_are_as_asked(data, tiny_folder, tmp_path, lines, make_rows):
    path = lines(tmp_path / "rows.jsonl", [*make_rows(3), make_rows(4)[3] | {"p_chosen": 0.5}])
    hard = prepare("dpo", settings_of("dpo", tiny_folder), tmp_path, path)
    assert (len(hard.rows.train), hard.asked["left_out"]) == (3, {"tie": 1})
    assert {row.weight for row in hard.rows.train} == {1.0}
    soft = settings_of("dpo", tiny_folder, labels="soft", weights="use")
    kept = prepare("dpo", soft, tmp_path, path).rows.train
    assert len(kept) == 4
    assert len({row.weight for row in kept}) > 1


def test_a_half_written_checkpoint_is_passed_over(tmp_path):
    folder = RunFolder(tmp_path)
    for step, state in ((2, '{"global_step": 2}'), (4, '{"global_'), (6, None)):
        checkpoint = folder.checkpoints / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        if state is not None:
            (checkpoint / "trainer_state.json").write_text(state)
    (folder.checkpoints / "checkpoint-best").mkdir()
    assert folder.checkpoint() == folder.checkpoints / "checkpoint-2"
    assert RunFolder(tmp_path / "none").checkpoint() is None


def test_a_hash_is_of_names_and_contents(tmp_path):
    for name, text in (("one/a", "x"), ("two/a", "x"), ("three/b", "x"), ("four/a", "y")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    one, two, three, four = (content_hash(tmp_path / k) for k in ("one", "two", "three", "four"))
    assert one == two
    assert len({one, three, four}) == 3

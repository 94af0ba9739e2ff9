"""Settings side by side: by hand, symmetric, and on published verdicts."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.agreement.annotations import Annotations
from pipelines.agreement.reference import human_reference
from pipelines.errors import BadInput, Undefined
from pipelines.formats.reading import read_pairs
from pipelines.judge.compare import PAPER_NOTE, side_by_side
from pipelines.preferences.annotations import AnnotationsBuilder
from pipelines.records import PreferencePair


@pytest.fixture(scope="module")
def llmbar(shared_data: Path) -> Annotations:
    builder = AnnotationsBuilder()
    for pair in read_pairs(shared_data / "llmbar-natural-small.jsonl"):
        assert isinstance(pair, PreferencePair)
        builder.add(pair)
    return builder.build()


def test_gpt4_and_chatgpt_differ_on_llmbar(llmbar: Annotations, shared_data: Path) -> None:
    expected = json.loads((shared_data / "expected.json").read_text())["llmbar-natural-small"]
    judges = ["ChatGPT/Vanilla", "GPT-4/Vanilla"]
    table = side_by_side(llmbar, human_reference(llmbar), judges)
    for one in table.settings:
        figure = expected["judges"][one.judge]
        assert one.accuracy is not None
        assert 100 * one.accuracy.estimate == pytest.approx(figure["accuracy_unparsed_wrong"])
        assert one.n_abstained == figure["flips"]
    paired = table.contrasts[0].paired
    assert paired is not None
    assert paired.difference.estimate == pytest.approx(0.14)
    assert paired.difference.low > 0.05
    assert paired.p_value < 1e-4


def test_a_rationale_first_cost_chatgpt_accuracy_on_llmbar(llmbar: Annotations) -> None:
    judges = ["ChatGPT/Vanilla", "ChatGPT/CoT"]
    (contrast,) = side_by_side(llmbar, human_reference(llmbar), judges).contrasts
    assert contrast.paired is not None
    assert contrast.paired.difference.estimate == pytest.approx(-0.07)
    assert contrast.paired.difference.high < 0.0
    assert contrast.paired.p_value < 0.05


def test_settings_of_one_good_model_do_not_differ(llmbar: Annotations) -> None:
    judges = [judge for judge in llmbar.judges if judge.startswith("GPT-4/")]
    table = side_by_side(llmbar, human_reference(llmbar), judges, baseline="GPT-4/Vanilla")
    assert len(table.contrasts) == len(judges) - 1
    assert all(one.p_adjusted is not None and one.p_adjusted > 0.5 for one in table.contrasts)
    assert all(
        one.paired is not None and one.p_adjusted >= one.paired.p_value for one in table.contrasts
    )


def test_the_order_of_the_judges_turns_the_sign_only(llmbar: Annotations) -> None:
    reference = human_reference(llmbar)
    (one,) = side_by_side(llmbar, reference, ["PaLM2/CoT", "GPT-4/CoT"]).contrasts
    (two,) = side_by_side(llmbar, reference, ["GPT-4/CoT", "PaLM2/CoT"]).contrasts
    assert one.paired is not None
    assert two.paired is not None
    assert one.paired.p_value == two.paired.p_value
    assert one.paired.difference.low == pytest.approx(-two.paired.difference.high)
    assert one.n_left_out == two.n_left_out


def test_a_label_that_a_judge_learned_from_is_silent(llmbar: Annotations) -> None:
    reference = human_reference(llmbar)
    seen = np.arange(100) < 40
    table = side_by_side(
        llmbar, reference, ["GPT-4/CoT", "GPT-4/Swap"], learned={"GPT-4/Swap": seen}
    )
    assert table.settings[1].n_silent == 40
    assert table.contrasts[0].n_left_out == 40
    assert table.contrasts[0].paired is not None
    assert table.contrasts[0].paired.n == 60


def test_the_paper_is_a_note_and_json_holds_no_nan(llmbar: Annotations) -> None:
    table = side_by_side(llmbar, human_reference(llmbar), llmbar.judges[:3])
    whole = json.dumps(table.as_dict(), allow_nan=False)
    assert "few-shot" in PAPER_NOTE
    assert PAPER_NOTE in json.loads(whole)["note"]


def test_what_cannot_be_compared_says_so(llmbar: Annotations) -> None:
    reference = human_reference(llmbar)
    with pytest.raises(BadInput, match="two judges"):
        side_by_side(llmbar, reference, ["GPT-4/CoT", "GPT-4/CoT"])
    with pytest.raises(BadInput, match="not among"):
        side_by_side(llmbar, reference, ["GPT-4/CoT", "GPT-4/Swap"], baseline="PaLM2/CoT")
    with pytest.raises(BadInput, match='"nobody"'):
        side_by_side(llmbar, reference, ["GPT-4/CoT", "nobody"])
    with pytest.raises(Undefined, match="label some first"):
        side_by_side(llmbar, np.full(100, -1), ["GPT-4/CoT", "GPT-4/Swap"])

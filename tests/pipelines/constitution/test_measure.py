"""The statistics of revision, by hand; a failed critique is in no rate."""

import pytest
from revise_world import KEPT, constitution, drive, honest, plan, principle_of

from pipelines.constitution.measure import measure, refuses
from pipelines.constitution.outputs import critique_rows, preference_pair, sft_row
from pipelines.constitution.trajectory import Response
from pipelines.models.engine import Reply


def run(*texts, answer=honest, prompts=None):
    asked = plan(max_iterations=1)
    return [
        drive(
            asked, Response(id=f"r{n}", prompt=(prompts or {}).get(n, f"p{n}"), text=text), answer
        )
        for n, text in enumerate(texts)
    ]


def test_rates_before_and_after_by_hand():
    found = measure(run("kind true", "kind", "no", "no"), ["kind", "true"])
    kind, true = found.principles
    assert (kind.before.estimate, kind.after.estimate, kind.before.n) == (0.5, 0.0, 4)
    assert (true.before.estimate, true.change.estimate) == (0.75, -0.75)
    assert [one.estimate for one in true.by_round] == [0.75, 0.0]
    assert (found.any_before.estimate, found.satisfied_share.estimate) == (0.75, 1.0)
    assert found.rounds_needed == {"0": 1, "1": 3}
    assert found.mean_rounds.estimate == 0.75
    # "kind" grows from 4 letters to 9, "no" twice from 2 to 12: (9/4 * 6 * 6) ** (1/3)
    assert found.length_ratio.estimate == pytest.approx(81 ** (1 / 3))


def test_a_failed_critique_counts_as_a_failure_alone():
    def fails(role, request):
        if principle_of(request) == "true":
            return Reply(failure="error", detail="it broke")
        return Reply(text=KEPT)

    found = measure(run("x", "y", answer=fails), ["kind", "true"])
    assert found.principles[1].before is None
    assert found.principles[1].change is None
    assert found.failures["critique"] == {"error": 2}
    assert found.any_before is None  # whether anything is violated is not known
    assert found.endings == {"undecided": 2}


def test_responses_to_one_prompt_are_not_independent():
    texts = ["no"] * 10 + ["kind true"] * 10
    apart = measure(run(*texts), ["kind", "true"])
    together = measure(run(*texts, prompts={n: f"p{n // 10}" for n in range(20)}), ["kind", "true"])
    width = [one.any_before.high - one.any_before.low for one in (apart, together)]
    assert together.n_prompts == 2
    assert width[1] > 1.5 * width[0]


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("Hello Bea, we are sorry for the trouble. I am not able to help with that.", True),
        ("抱歉，我无法协助。", True),
        ("Of course, here it is. We are sorry for the delay.", False),
        ("", False),
    ],
)
def test_a_refusal_is_known_behind_a_greeting(text, refused):
    assert refuses(text) == refused


def test_only_what_the_critic_vouches_for_is_trained_on():
    rules = constitution("kind", "true")
    kept, mended = run("kind true", "no")
    assert sft_row(mended, rules.hash())["completion"][0]["content"] == "no kind true"
    assert sft_row(kept, rules.hash())["n_rounds"] == 0
    rows = critique_rows(mended, rules)
    assert [one["messages"][1]["content"] for one in rows] == ["no", "no kind"]
    pair = preference_pair(mended, rules, "reviser")
    better = pair.response_a if pair.ai[0].label == "A" else pair.response_b
    assert better == "no kind true"
    assert preference_pair(kept, rules, "reviser") == "unchanged"

    def spoils(role, request):
        said = honest(role, request)
        return Reply(text="other") if role == "reviser" else said

    (spoilt,) = run("no", answer=spoils)
    assert preference_pair(spoilt, rules, "reviser") == "not better"
    assert sft_row(spoilt, rules.hash()) is None
    assert critique_rows(spoilt, rules) == []

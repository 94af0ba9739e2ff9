"""`workbench evaluate` as its user runs it: real HTTP, simulated models, people at the queue."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from evaluate_world import N_AUDIT, N_PROMPTS, POLICIES, SUITES, make_project, simulated_models

from pipelines.evaluate.audited import AUDITED
from pipelines.evaluate.result import EvaluationFound, read_result
from pipelines.sandbox.annotators import Annotator, Traits
from workbench.audit.draw import draw_round
from workbench.audit.options import Overrides, draw_options
from workbench.cli import main
from workbench.evaluating.examples import read_lines
from workbench.project import Project
from workbench.sandbox_round import label_sandbox_round


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the simulated models."""
    with simulated_models(tmp_path_factory.mktemp("traits")) as url:
        yield url


def call(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `workbench evaluate`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["workbench", "evaluate", *arguments])
        with pytest.raises(SystemExit) as end:
            main.main()
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def found_in(folder: Path, name: str = "evaluation") -> EvaluationFound:
    found = read_result(folder / "evaluations" / name)
    assert found is not None
    return found


def told(found: EvaluationFound) -> dict[str, Any]:
    """All of a result but when and by which program it was made."""
    return found.model_dump(mode="json", exclude={"created_at", "program", "name", "people"})


@pytest.fixture(scope="module")
def project(server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("evaluate") / "project", server)


def test_three_policies_two_judges_and_suites_then_people_correct_what_the_judges_say(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*POLICIES, *(word for one in SUITES for word in ("--suite", one))]
    code, out, _ = call(project, capsys, *asked)
    assert code == 0
    assert "after against before, by judge" in out
    assert f"0 of {N_AUDIT} drawn pairs are labelled" in out
    before = found_in(project)
    assert len(before.matchups) == 6
    assert all(one.corrected is None for one in before.matchups)
    assert [one.policies for one in before.rankings] == [POLICIES, POLICIES]
    assert all(one.corrected is None for one in before.rankings)

    own = Project.open(project / "evaluations" / "evaluation")
    label_sandbox_round(own, [Annotator("simulated-1", Traits(accuracy=1.0, seconds=5.0))])
    code, out, _ = call(project, capsys, *asked)
    assert code == 0
    assert "of the votes are simulated" in out
    after = found_in(project)
    assert after.people is not None
    assert (after.people.n_labels, after.people.n_simulated) == (N_AUDIT, N_AUDIT)
    for one in after.matchups:
        assert one.corrected is not None
        assert one.truth is not None
        assert one.corrected.corrected.low <= one.truth.estimate <= one.corrected.corrected.high
        assert one.flips is None or one.judge != "judge" or one.flips.estimate > 0.2
    assert all(one.corrected is not None for one in after.rankings)
    # Everything but the people's side is as before.
    raw = [one.win for one in before.matchups]
    assert [one.win for one in after.matchups] == raw


def test_suites_are_cut_by_category_and_principle_and_compared_before_and_after(
    project: Path,
) -> None:
    suites = {one.name: one for one in found_in(project).suites}
    assert set(suites) == {one.removesuffix(".toml") for one in SUITES}
    attacks = {one.policy: one.share for one in suites["sandbox-red-team"].groups}
    assert attacks["before"] is not None
    assert attacks["after"] is not None
    assert attacks["after"].estimate < attacks["before"].estimate
    kept = suites["sandbox-principles"]
    assert {one.group for one in kept.groups} >= {"", "polite", "private", "honest"}
    checked = suites["principles"]
    assert checked.by == "principle"
    whole = next(one for one in checked.changes if (one.after, one.group) == ("after", ""))
    assert whole.change.difference.high < 0.0
    assert suites["mine"].n_prompts == 10
    for name in suites:
        folder = project / "evaluations" / "evaluation" / "suites" / name
        assert (folder / "outcomes.jsonl").is_file()


def test_people_are_dealt_pairs_on_which_the_judge_contradicts_itself(project: Path) -> None:
    own = Project.open(project / "evaluations" / "evaluation")
    annotations = own.store.annotations()
    assert AUDITED in annotations.judges
    rows = read_lines(own.dir / "comparisons.jsonl")
    torn = [one for one in rows if one["judged"]["judge"] == 0.5 and one["pair"]]
    assert len(torn) > 10
    assert any(one["people"] is not None for one in torn)


def test_a_round_on_a_judges_own_labels_corrects_nothing_and_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The judge "shy" fails on many pairs: its labels stand for the others only.
    asked = ["before", "after", "--judge", "judge", "--judge", "shy", "--name", "narrow"]
    assert call(project, capsys, *asked)[0] == 0
    own = Project.open(project / "evaluations" / "narrow")
    people = [Annotator("simulated-1", Traits(accuracy=1.0, seconds=5.0))]
    draw_round(own, draw_options(own, Overrides(label="shy", name="narrow-1")))
    label_sandbox_round(own, people, "narrow-1")
    code, out, _ = call(project, capsys, *asked)
    assert code == 0
    assert "the round narrow-1 was not drawn uniformly from all pairs" in out
    found = found_in(project, "narrow")
    assert found.people is not None
    assert found.people.rounds_unused == ("narrow-1",)
    assert (found.people.n_labels, found.people.n_pairs_drawn) == (0, N_PROMPTS)
    assert all(one.corrected is None for one in found.matchups)
    assert next(one for one in found.matchups if one.judge == "shy").n_unjudged > 5


def test_drawn_pairs_that_everybody_skipped_are_counted_and_no_longer_waited_for(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = Project.open(project / "evaluations" / "narrow")
    shy = Annotator("simulated-2", Traits(accuracy=1.0, seconds=5.0, skip_rate=0.3))
    label_sandbox_round(own, [shy], "round-1")
    asked = ["before", "after", "--judge", "judge", "--judge", "shy", "--name", "narrow"]
    code, out, _ = call(project, capsys, *asked)
    assert code == 0
    people = found_in(project, "narrow").people
    assert people is not None
    assert people.n_skipped > 5
    assert people.n_labels + people.n_skipped == people.n_pairs_drawn
    assert f"everybody skipped {people.n_skipped} drawn pairs" in out
    assert "next:" not in out


def test_a_policy_that_says_the_same_ties_and_nobody_is_asked(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(project, capsys, "cold-a", "cold-b", "--name", "same")
    assert code == 0
    assert f"{N_PROMPTS} of the ties are equal responses" in out
    assert "next:" not in out
    for one in found_in(project, "same").matchups:
        assert (one.win.ties, one.n_same, one.win.detectable) == (N_PROMPTS, N_PROMPTS, None)


def test_a_judge_that_never_answers_is_said_to_have_no_verdict(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(project, capsys, "before", "after", "--judge", "mute", "--name", "mute")
    assert code == 0
    assert "the judge mute has no verdict" in out
    assert found_in(project, "mute").matchups == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["before"], "compares two policies"),
        (["before", "before"], "compares two policies"),
        (["before", "nobody"], '"nobody" is no policy'),
        (["before", "after", "--judge", "nobody"], 'no judge "nobody"'),
        (["before", "after", "--suite", "nothing"], "no suite"),
        (["before", "after", "--name", "../x"], "cannot be the name"),
        (["before", "after", "--prompts", "none.jsonl"], "none.jsonl"),
        (["after", "wordy"], "is an evaluation of other policies"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_asks_nobody(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, out, err = call(project, capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_dry_run_says_what_is_ahead_and_writes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(project, capsys, "before", "after", "--name", "dry", "--dry-run")
    assert code == 0
    assert f"{N_PROMPTS} of {N_PROMPTS} responses to ask for" in out
    assert not (project / "evaluations" / "dry").exists()


def test_killed_in_the_middle_the_same_command_ends_in_the_same_place(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["before", "after", "--name", "killed"]
    command = [sys.executable, "-m", "workbench.cli", "evaluate", *arguments]
    process = subprocess.Popen(
        command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    judged = project / "evaluations" / "killed" / "runs" / "judge" / "judge"
    until = time.monotonic() + 300
    while time.monotonic() < until and process.poll() is None and not _lines(judged):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    n_before = _lines(judged)
    assert n_before > 0
    assert not (project / "evaluations" / "killed" / "result.json").exists()
    code, _, _ = call(project, capsys, *arguments)
    assert code == 0
    code, _, _ = call(project, capsys, "before", "after", "--name", "whole")
    assert code == 0
    assert told(found_in(project, "killed")) == told(found_in(project, "whole"))


def _lines(folder: Path) -> int:
    """Judgments in a log, as far as they are whole."""
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.jsonl"))


def test_an_outage_keeps_what_was_answered_and_the_same_command_goes_on(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_project(tmp_path / "project", server)
    config = folder / "project.toml"
    sound = config.read_text()
    before, _, after = sound.partition('name = "vain"')
    config.write_text(before + 'name = "vain"' + after.replace(server, "http://127.0.0.1:9/v1", 1))
    code, _, err = call(folder, capsys, "before", "after")
    assert code == 3
    assert "everything answered is kept" in err
    assert "Traceback" not in err
    assert not (folder / "evaluations" / "evaluation" / "result.json").exists()
    answered = _lines(folder / "evaluations" / "evaluation" / "runs" / "judge" / "judge")
    config.write_text(sound)
    code, _, _ = call(folder, capsys, "before", "after", "--retry-failed")
    assert code == 0
    assert _lines(folder / "evaluations" / "evaluation" / "runs" / "judge" / "judge") == answered
    found = found_in(folder)
    assert {one.judge for one in found.matchups} == {"judge", "vain"}
    assert all(one.n_unjudged == 0 for one in found.matchups)

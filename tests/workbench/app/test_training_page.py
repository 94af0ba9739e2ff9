"""The page Training: curves of runs that go on, that are done, and that were cut off."""

import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import review_lab as lab
from playwright.sync_api import Browser, Page
from streamlit.testing.v1 import AppTest

from pipelines.agreement.estimate import Estimate
from pipelines.train.curves import append_point, read_curves
from pipelines.train.run_folder import RunFolder, runs_of
from workbench.app.training_runs import (
    confidence,
    figures_table,
    growth,
    look,
    series,
    tail_of,
)
from workbench.project import Project

NASTY = "**dpo** <b>x</b>"
WARNING = "the reward rose from 0.5 to 0.7 while the held-out judge's win rate fell"
ACCURACY = {"estimate": 0.8, "low": 0.7, "high": 0.9, "method": "wilson", "n": 60}
BIN = {"low": 0.7, "high": 0.8, "mean_said": 0.75, "observed": ACCURACY}
NOBODY = {"n": 0, "n_prompts": 0, "accuracy": None, "calibration": None}
SCORED = {
    "n": 60, "n_prompts": 60, "accuracy": ACCURACY,
    "calibration": {"n": 60, "bins": [BIN], "ece_if_calibrated": 0.1},
}  # fmt: skip
REWARD = {
    "method": "reward", "n_train": 300, "n_held_out": 51, "loss": 0.6, "held_out_loss": 0.65,
    "held_out_pairs": {"human": SCORED, "all": SCORED},
    "learning_curve": [
        {"share": 0.5, "n_pairs": 150, "human": ACCURACY, "all": ACCURACY},
        {"share": 1.0, "n_pairs": 300, "human": ACCURACY, "all": ACCURACY},
    ],
}  # fmt: skip


def begin(project: Path, name: str, method: str, **more: object) -> RunFolder:
    folder = RunFolder(project / "runs" / "train" / name)
    folder.begin(
        {
            "method": method,
            "model": "start",
            "data": "exports/trl.jsonl",
            "data_hash": "d" * 64,
            "n_rows": {"train": 300, "test": 51},
            "left_out": {"tie": 3},
            "settings": {"seed": 0},
            **more,
        }
    )
    return folder


def write_steps(folder: RunFolder, first: int, last: int) -> None:
    for step in range(first, last + 1):
        values = {"loss": 1.0 / step, "reward": 0.5 + step / 100, "kl": step / 10, "length": 20.0}
        values |= {"violation_rate": 0.3, "multiplier": step / 50, "gradient_norm": 0.6}
        append_point(folder.path, step, values)


def watched(folder: RunFolder) -> None:
    """Looks at held-out prompts in which reward and judge part."""
    for step, reward, score in ((2, 0.5, 0.5), (4, 0.6, 0.6), (6, 0.7, 0.4)):
        looks = {"held_out_n": 200.0, "held_out_reward": reward, "held_out_win_rate": score}
        looks |= {"held_out_length": 20.0, "held_out_repetition": 0.0}
        append_point(folder.path, step, looks)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model that is measured, a policy that games its reward, and one that goes on."""
    folder = Project.create(tmp_path_factory.mktemp("training") / "p").dir
    reward = begin(folder, "reward", "reward")
    append_point(reward.path, 10, {"loss": 0.6, "accuracy": 0.7, "margin": 0.2})
    append_point(
        reward.path, 10, {"held_out_loss": 0.65, "held_out_accuracy": 0.66, "held_out_reward": 0.1}
    )
    reward.finish(REWARD)
    bounded = {"seed": 0, "ppo": {"violation_bound": 0.2}}
    ppo = begin(folder, NASTY.replace("/", "_"), "ppo", settings=bounded)
    write_steps(ppo, 1, 6)
    watched(ppo)
    ppo.finish(
        {
            "method": "ppo", "reward": 0.7, "held_out_n": 200.0, "held_out_win_rate": 0.4,
            "warnings": [WARNING],
        }
    )  # fmt: skip
    return folder


def page_of(folder: Path) -> AppTest:
    script = f"""
from pathlib import Path
from workbench.app.views import training
from workbench.project import Project
training.render(Project.open(Path({str(folder)!r})))
"""
    test = AppTest.from_string(script, default_timeout=60)
    test.session_state["workbench_name"] = "reader"
    return test


def test_a_project_without_a_run_says_what_to_do(tmp_path: Path) -> None:
    test = page_of(Project.create(tmp_path / "empty").dir).run()
    assert not test.exception
    assert "workbench train" in test.info[0].value


def test_every_run_stands_in_the_list_and_a_warning_is_said_plainly(project: Path) -> None:
    test = page_of(project).run()
    assert not test.exception
    listed = test.dataframe[0].value
    assert set(listed["method"]) == {"reward", "ppo"}
    assert set(listed["state"]) == {"done"}
    assert "reward hacking" in test.warning[0].value
    assert "<b>" not in test.warning[0].value.replace("\\<b\\>", "")


def test_final_figures_keep_their_intervals_and_n(project: Path) -> None:
    test = page_of(project).run()
    assert len(test.multiselect[0].value) == 1  # runs of other methods are not compared unasked
    test.multiselect[0].set_value(["reward", NASTY.replace("/", "_")]).run()
    shown = next(one.value for one in test.dataframe if "figure" in one.value.columns)
    cells = shown.set_index("figure")["reward"]
    assert cells["held out pairs, human, accuracy"] == "0.8 (0.7 to 0.9, n = 60)"
    assert cells["held out loss"] == "0.65 (n = 51)"
    assert cells["held out win rate"] == ""  # the other run's alone
    table = figures_table([look(folder, tail_of(folder)) for folder in runs_of(project)])
    of = {(row["run"], row["figure"]): row for _, row in table.iterrows()}
    row = of["reward", "held_out_pairs, human, accuracy"]
    assert (row["estimate"], row["low"], row["high"], row["n"]) == (0.8, 0.7, 0.9, 60)
    plain = of["reward", "held_out_loss"]
    assert pd.isna(plain["low"])
    assert plain["n"] == 51
    rate = of[NASTY.replace("/", "_"), "held_out_win_rate"]
    # Wilson for 80 of 200: (0.4 + z2/400 -+ z sqrt(0.24/200 + z2/160000)) / (1 + z2/200)
    assert (rate["low"], rate["high"]) == pytest.approx((0.3346, 0.4692), abs=5e-5)
    assert rate["n"] == 200


def test_learning_curve_and_calibration_of_a_reward_model_are_drawn(project: Path) -> None:
    test = page_of(project).run()
    test.multiselect[0].set_value(["reward"]).run()
    assert not test.exception
    titles = [one.value for one in test.subheader]
    assert titles == ["Would more pairs help?", "Does it know how sure it may be?"]
    assert growth(REWARD, "human") == [(150, Estimate(**ACCURACY)), (300, Estimate(**ACCURACY))]
    assert confidence(REWARD, "all") == [(0.75, Estimate(**ACCURACY))]
    assert confidence({"held_out_pairs": {"human": NOBODY}}, "human") == []


def test_a_run_that_goes_on_warns_before_it_is_done(tmp_path: Path) -> None:
    folder = begin(tmp_path, "ppo", "ppo")
    append_point(folder.path, 1, {"held_out_reward": 0.1})  # an evaluation, not a look
    assert look(folder, tail_of(folder)).warnings == []
    watched(folder)
    (warning,) = look(folder, tail_of(folder)).warnings
    assert "win rate fell from 0.600 to 0.400" in warning


def test_only_what_is_new_is_read_and_a_torn_line_waits(tmp_path: Path) -> None:
    folder = begin(tmp_path, "dpo", "dpo")
    write_steps(folder, 1, 5)
    tail = tail_of(folder)
    assert tail.points() == read_curves(folder.path)
    read = tail._offset
    with (folder.path / "curves.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    assert len(tail.points()) == 5
    assert tail._offset == read
    with (folder.path / "curves.jsonl").open("a") as file:
        file.write('ss": 0.1}\n{"step": 6, "held_out_loss": 0.2}\n')
    assert tail.points()[-1] == {"step": 6, "loss": 0.1, "held_out_loss": 0.2}
    assert tail.points() == read_curves(folder.path)


def test_a_run_that_began_again_is_read_from_its_start(tmp_path: Path) -> None:
    folder = begin(tmp_path, "dpo", "dpo")
    write_steps(folder, 1, 5)
    tail = tail_of(folder)
    assert len(tail.points()) == 5
    (folder.path / "curves.jsonl").unlink()
    assert tail.points() == []
    write_steps(folder, 1, 2)
    assert [point["step"] for point in tail.points()] == [1, 2]


def test_a_long_curve_is_thinned_and_keeps_its_last_point() -> None:
    points = [{"step": n, "loss": float(n)} for n in range(10_001)]
    steps, values = series(points, ("absent", "loss"), most=100)
    assert len(steps) <= 100
    assert steps[-1] == 10_000
    assert values == [float(step) for step in steps]


def test_a_run_that_fell_silent_was_cut_off(tmp_path: Path) -> None:
    folder = begin(tmp_path, "dpo", "dpo")
    write_steps(folder, 1, 3)
    now = time.time()
    assert look(folder, tail_of(folder), now).standing == "going on"
    assert look(folder, tail_of(folder), now + 600).standing == "cut off"
    folder.finish({"method": "dpo"})
    assert look(folder, tail_of(folder), now + 600).standing == "done"


def test_a_run_that_logs_rarely_is_given_more_time(tmp_path: Path) -> None:
    folder = begin(tmp_path, "dpo", "dpo")
    lines = [f'{{"step": {n}, "at": {1000 + 300 * n}, "loss": 1.0}}\n' for n in range(5)]
    (folder.path / "curves.jsonl").write_text("".join(lines))
    assert look(folder, tail_of(folder), 2200 + 1400).standing == "going on"
    assert look(folder, tail_of(folder), 2200 + 1600).standing == "cut off"


def test_inner_tables_of_a_result_are_flattened_and_timings_left_out(tmp_path: Path) -> None:
    folder = begin(tmp_path, "reward", "reward")
    folder.finish({"human": {"accuracy": ACCURACY}, "step_time": 1.0, "warnings": []})
    table = figures_table([look(folder, tail_of(folder))])
    assert table["figure"].tolist() == ["human, accuracy"]


@pytest.fixture(scope="module")
def server(project: Path) -> Iterator[lab.Server]:
    with lab.serving(project) as server:
        yield server


@pytest.fixture(scope="module")
def page(chromium: Browser, server: lab.Server) -> Iterator[Page]:
    """One visit, that all tests look at: loading the page costs more than looking at it."""
    context = chromium.new_context(viewport=lab.DESKTOP, color_scheme="light")
    context.set_default_timeout(120_000)  # a busy machine fails nothing
    page = lab.enter(context, server, "reader").new_page()
    page.goto(f"{server.url}training")
    page.locator(".js-plotly-plot").first.wait_for()
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    yield page
    context.close()


def choose(page: Page, name: str) -> None:
    page.get_by_role("combobox").click()
    page.get_by_role("option", name=name, exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_text(f"{name}: data, model, settings").wait_for()
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")


@pytest.mark.browser
def test_axe_finds_nothing_serious_and_every_chart_has_a_meaning(page: Page, axe: str) -> None:
    choose(page, "reward")
    found = lab.violations(page, axe)
    light = page.evaluate(lab.BACKGROUND)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{lab.BACKGROUND} !== {light!r}")
    # Nothing but the colours differs.
    found += lab.violations(page, axe, ["color-contrast"])
    charts = page.locator("[data-testid=stPlotlyChart]")
    names = [charts.nth(n).get_attribute("aria-label") or "" for n in range(charts.count())]
    assert [one for one in found if one.startswith(("serious", "critical"))] == []
    assert len(names) >= 8
    assert min(map(len, names)) > 20


@pytest.mark.browser
def test_the_page_is_no_wider_than_a_phone(page: Page) -> None:
    page.set_viewport_size(lab.PHONE)
    page.wait_for_function(f"{lab.OVER} <= 0")
    page.set_viewport_size(lab.DESKTOP)


@pytest.mark.browser
def test_a_run_that_goes_on_is_followed_until_it_is_done(page: Page, project: Path) -> None:
    folder = begin(project, "live", "dpo")
    # One chart: all of them are drawn again at every look, which shows no more.
    for step in range(1, 4):
        append_point(folder.path, step, {"loss": 1.0 / step})
    page.reload()
    page.get_by_text("live at step 3").wait_for()
    for step in range(4, 10):
        append_point(folder.path, step, {"loss": 1.0 / step})
    page.get_by_text("live at step 9").wait_for()
    folder.finish({"method": "dpo", "loss": 0.1})
    page.get_by_text("Going on:").wait_for(state="detached")
    assert len(runs_of(project)) == 3

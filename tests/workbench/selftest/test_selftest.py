"""The self-test itself: its planted values are the truth, and what is wrong does not pass it."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipelines.agreement.estimate import Estimate
from workbench.selftest.coverage import ErrorRow, Row, run_scenario
from workbench.selftest.diagnoses import Diagnosis, position
from workbench.selftest.law import law_of
from workbench.selftest.live import LiveRow
from workbench.selftest.plants import Plants
from workbench.selftest.run import Report
from workbench.selftest.scenarios import Scenario, scenarios
from workbench.selftest.text import lines
from workbench.selftest.truths import first_rate
from workbench.selftest.world import draw_world

LARGE = 60_000
ALONE = [one for one in scenarios() if not one.plants.clustered and one.diagnoses]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """What `workbench selftest --quick --json` prints: 100 worlds a row, one of them live."""
    command = [sys.executable, "-m", "workbench.cli", "selftest", "--quick", "--json"]
    command += ["--worlds", "100"]  # the table of benchmarks/README.md has 2,000
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_interval_holds_what_is_planted_as_often_as_it_says(report):
    assert report["passed"]
    assert len(report["diagnoses"]) > 150
    short = [row for row in report["diagnoses"] if row["finding"] == "short"]
    assert short == []
    coverage = [row["coverage"] for row in report["diagnoses"]]
    # All together they are far more worlds: their mean is 95% or a little more, never much less.
    assert 0.945 < np.mean(coverage) < 0.975


def test_no_gate_and_no_test_errs_more_than_it_may(report):
    assert len(report["errors"]) > 20
    assert [row for row in report["errors"] if row["exceeds"]] == []
    gates = [row["rate"] for row in report["errors"] if row["test"].startswith("gate says")]
    assert np.mean(gates) <= 0.05


def test_a_world_through_the_server_and_the_queue_shows_what_was_planted(report):
    assert {row["diagnosis"] for row in report["live"]} == {
        "position: share of first places",
        "agreement, decisive, anytime",
        "agreement, decisive, fixed sample",
        "people: ceiling, decisive",
    }
    assert sum(row["holds"] for row in report["live"]) >= 3


@pytest.mark.parametrize("scenario", ALONE, ids=lambda one: one.name)
def test_planted_values_are_what_an_endless_audit_finds(scenario):
    law = law_of(replace(scenario.plants, n_pairs=LARGE))
    assert math.isclose(law.chance.sum(), 1.0)
    world = draw_world(law, np.random.default_rng(20))
    for diagnosis in scenario.diagnoses:
        found = diagnosis.measure(world)
        assert found is not None
        # An interval of 95% at this size, two and a half times as wide: five standard errors.
        reach = max(2.5 * (found.high - found.low) / 2.0, 0.002)
        assert abs(found.estimate - diagnosis.planted(law)) < reach, diagnosis.name


def test_position_points_are_twice_what_the_first_place_gains():
    for points in (0, 10, 20, 30):
        assert first_rate(law_of(Plants(position_points=points))) == pytest.approx(
            0.5 + points / 200
        )


def test_shared_prompts_change_no_planted_value_and_make_prompts_repeat():
    plants = Plants(clustered=True)
    world = draw_world(law_of(plants), np.random.default_rng(1))
    assert len(np.unique(world.prompt)) < 0.6 * plants.n_pairs
    for one, shared in zip(ALONE, [s for s in scenarios() if s.plants.clustered], strict=False):
        law, other = law_of(one.plants), law_of(shared.plants)
        assert [d.planted(law) for d in one.diagnoses] == [
            d.planted(other) for d in shared.diagnoses
        ]


def test_an_interval_that_is_too_narrow_is_found_out():
    def narrow(world):
        found = position(world).first_rate
        half = 0.7 * (found.high - found.low) / 2.0
        return replace(found, low=found.estimate - half, high=found.estimate + half)

    scenario = Scenario(
        "narrow", Plants(position_points=20.0), (Diagnosis("narrow", first_rate, narrow),)
    )
    (row,), _ = run_scenario(scenario, 300, (0, 0))
    assert row.coverage < 0.9
    assert row.finding(150) == "short"


def test_clusters_that_are_taken_for_pairs_are_found_out():
    def unclustered(world):
        return position(replace(world, prompt=np.arange(len(world.prompt)))).flip_rate

    (shared,) = [
        one for one in scenarios() if one.name == "position bias 30 points; shared prompts"
    ]
    planted = shared.diagnoses[1].planted
    scenario = replace(shared, diagnoses=(Diagnosis("flips", planted, unclustered),))
    (row,), _ = run_scenario(scenario, 800, (0, 0))
    assert row.finding(200) == "short"


def _row(below: int, above: int, n: int = 2000) -> Row:
    return Row("s", "d", 0.5, Estimate(0.5, 0.4, 0.6, "wilson", 100), 0.5, n, 0, above, below)


def _report(**more: Any) -> Report:
    given = {"rows": (_row(50, 50),), "errors": (ErrorRow("s", "t", 2000, 100),), "live": ()}
    return Report(n_worlds=2000, seed=0, seconds=1.0, cpu_seconds=1.0, **{**given, **more})


def test_findings_follow_binomial_error():
    assert _row(50, 50).finding(1) == "holds"  # 95.0%
    assert _row(60, 60).finding(1) == "short"  # 94.0%, two standard errors: alone, p = .048
    assert _row(60, 60).finding(100) == "holds"
    assert _row(80, 80).finding(100) == "short"  # 92%
    assert _row(10, 10).finding(100) == "wide"
    assert replace(_row(80, 80), least=0.92).finding(100) == "limit"
    assert replace(_row(110, 110), least=0.92).finding(100) == "short"
    assert not ErrorRow("s", "t", 2000, 110).exceeds(20)
    assert ErrorRow("s", "t", 2000, 160).exceeds(20)


def test_a_report_passes_only_when_everything_does():
    missed = LiveRow("w", "d", 0.9, Estimate(0.5, 0.4, 0.6, "wilson", 100))
    assert _report().passed
    assert _report(rows=(_row(10, 10),)).passed
    assert not _report(rows=(_row(100, 100),)).passed
    assert not _report(errors=(ErrorRow("s", "t", 2000, 160),)).passed
    assert not _report(live=(missed,) * 4).passed
    text = "\n".join(lines(_report(rows=(_row(100, 100),), live=(missed,))))
    assert "FAILED: 1 diagnoses, 1 cover too rarely" in text
    assert "0 are at a known limit" in text
    assert "TOO RARELY" in text
    assert "0 of 1 intervals hold" in text


def test_too_few_worlds_are_refused_in_one_line():
    command = [sys.executable, "-m", "workbench.cli", "selftest", "--worlds", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr

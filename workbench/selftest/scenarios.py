"""The scenarios of the self-test: what is planted, and which diagnoses are held against it."""

from dataclasses import dataclass, replace

from workbench.selftest.diagnoses import (
    ACCURACY,
    CALIBRATION,
    COMPARISON_TEST,
    EACH_PERSON,
    LENGTH,
    LENGTH_TEST,
    OWN,
    PEOPLE,
    POSITION,
    PRINCIPLES,
    SIGN_TEST,
    Diagnosis,
    Test,
)
from workbench.selftest.plants import Plants


@dataclass(frozen=True)
class Scenario:
    """Worlds of one kind; `tests` are those whose hypothesis is true in them."""

    name: str
    plants: Plants
    diagnoses: tuple[Diagnosis, ...]
    tests: tuple[Test, ...] = ()


def _alone() -> list[Scenario]:
    found = [
        Scenario(
            f"position bias {points} points",
            Plants(position_points=points),
            POSITION,
            (SIGN_TEST,) if points == 0 else (),
        )
        for points in (0, 10, 20, 30)
    ]
    found += [
        Scenario(
            f"length bias {slope:g}",
            Plants(length=slope),
            LENGTH,
            (LENGTH_TEST,) if slope == 0 else (),
        )
        for slope in (0.0, 0.5, 1.0)
    ]
    found.append(
        Scenario("no length bias, but the longer is better", Plants(length_tells=0.3), LENGTH)
    )
    found += [
        Scenario(f"self-preference {logit:g}", Plants(own=logit), OWN) for logit in (0.0, 0.5, 1.0)
    ]
    found.append(Scenario("blind principle", Plants(blind=True), PRINCIPLES))
    found += [
        Scenario(f"accuracy {accuracy:g}", Plants(accuracy=accuracy), ACCURACY)
        for accuracy in (0.7, 0.8, 0.9)
    ]
    found += [
        Scenario(f"confidence slope {slope:g}", Plants(confidence_slope=slope), CALIBRATION)
        for slope in (0.5, 1.0, 2.0)
    ]
    found.append(
        # People without error, so that the judge's probabilities are exactly calibrated.
        Scenario(
            "calibrated, people without error",
            Plants(people=(1.0, 1.0, 1.0), consistency=1.0),
            CALIBRATION,
        )
    )
    found += [
        Scenario(f"annotators of {accuracy:.0%}", Plants(people=(accuracy,) * 3), PEOPLE)
        for accuracy in (0.95, 0.85, 0.75)
    ]
    found.append(
        Scenario("annotators of 95%, 85%, 75%", Plants(overlap=0.5), (*PEOPLE, *EACH_PERSON))
    )
    found.append(
        Scenario(
            "two judges alike",
            Plants(consistency=0.8, people=(0.9, 0.9, 0.9)),
            (),
            (COMPARISON_TEST,),
        )
    )
    return found


def scenarios() -> list[Scenario]:
    """All of them: pairs with prompts of their own, then pairs that share prompts."""
    alone = _alone()
    shared = [
        replace(one, name=f"{one.name}; shared prompts", plants=replace(one.plants, clustered=True))
        for one in alone
    ]
    return alone + shared

"""What the judge's tests share: the shipped templates, a pair, and a driver without any I/O."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from pipelines.judge.spec import JudgeSpec
from pipelines.judge.template import Template, load_template
from pipelines.models.engine import Reply, Request
from pipelines.records import PreferencePair

DATA = Path(__file__).parents[3] / "data"

Drive = Callable[[Generator[Any, Any, Any], Callable[[Request], Reply]], Any]


@pytest.fixture(scope="session")
def data() -> Path:
    return DATA


@pytest.fixture(scope="session")
def judge() -> Callable[..., tuple[JudgeSpec, Template]]:
    """A judge with the template that ships for it."""

    def made(**keys: Any) -> tuple[JudgeSpec, Template]:
        spec = JudgeSpec(**({"name": "j", "model": "m"} | keys))
        return spec, load_template(spec, [DATA])

    return made


@pytest.fixture(scope="session")
def drive() -> Drive:
    """Runs a judgment with a plain function as the engine; notes what was asked."""

    def run(step: Generator[Any, Any, Any], engine: Callable[[Request], Reply]) -> Any:
        try:
            requests = next(step)
            while True:
                requests = step.send(tuple(engine(request) for request in requests))
        except StopIteration as end:
            return end.value

    return run


@pytest.fixture
def pair() -> PreferencePair:
    return PreferencePair(
        id="p-1", prompt="Name a river.", response_a="The Rhine.", response_b="A river? No idea."
    )

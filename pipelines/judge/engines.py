"""From a judge's section to the engine that answers it, and to the question that it asks."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from pipelines.errors import BadInput
from pipelines.judge.modes import asked_orders, judge_pair
from pipelines.judge.runner import Question
from pipelines.judge.spec import JudgeSpec
from pipelines.judge.template import Template, load_template
from pipelines.models.completions import Price
from pipelines.models.endpoint import LOOPBACK, Endpoint, EndpointEngine
from pipelines.models.engine import Engine


def price_of(spec: JudgeSpec) -> Price | None:
    """The price of a judge's tokens; one's own machine is free unless a price is set."""
    if spec.usd_per_1m_input is not None and spec.usd_per_1m_output is not None:
        return Price(spec.usd_per_1m_input, spec.usd_per_1m_output)
    at_home = spec.engine != "endpoint" or urlsplit(spec.base_url).hostname in LOOPBACK
    return Price(0.0, 0.0) if at_home else None


def check_bounded(spec: JudgeSpec, max_requests: int | None) -> None:
    """No outside service is asked without a bound on what it may cost.

    Raises:
        BadInput: The judge has no price, and requests are not bounded either.
    """
    if price_of(spec) is None and max_requests is None:
        raise BadInput(
            f'judge "{spec.name}": has no price, so budget_usd cannot bound it; set '
            "usd_per_1m_input and usd_per_1m_output (0 for a server of your own), or max_requests"
        )


def question_of(spec: JudgeSpec, folders: Sequence[Path]) -> tuple[Question, Template]:
    """What a judge asks, and the template that it asks it with.

    Args:
        spec: The judge.
        folders: Where its files are looked up: the project's folder, then the program's `data`.

    Raises:
        BadInput: A file is missing or wrong.
    """
    template = load_template(spec, folders)
    question = Question(
        spec,
        template.hash,
        asked_orders(spec),
        partial(judge_pair, spec, template),
        price_of(spec),
    )
    return question, template


def endpoint_of(spec: JudgeSpec) -> Endpoint:
    """Where and how a judge's endpoint is asked."""
    return Endpoint(
        base_url=spec.base_url,
        model=spec.model,
        api_key_env=spec.api_key_env,
        concurrency=spec.concurrency,
        timeout_s=spec.timeout_s,
        retries=spec.retries,
        extra_body=spec.extra_body,
        price=price_of(spec),
    )


def open_engine(spec: JudgeSpec, project_dir: Path) -> Engine:
    """The engine of a judge; a local model is loaded, from a folder of the project or the hub.

    Raises:
        BadInput: It cannot be opened as it is set.
    """
    if spec.engine == "endpoint":
        return EndpointEngine(endpoint_of(spec))
    if spec.engine == "local":
        from pipelines.models.local import LocalEngine, LocalModel

        return LocalEngine(
            LocalModel(
                model=spec.model,
                base=project_dir,
                device=spec.local.device,
                dtype=spec.local.dtype,
                four_bit=spec.local.four_bit,
                adapter=spec.local.adapter,
                memory_share=spec.local.memory_share,
                max_batch=spec.local.max_batch,
                price=price_of(spec) or Price(0.0, 0.0),
            )
        )
    raise BadInput(
        f'judge "{spec.name}": a trained labeler is not asked questions, it labels whole pairs'
    )

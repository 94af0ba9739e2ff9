"""From a section of `project.toml` to the engine that answers it."""

from pathlib import Path
from urllib.parse import urlsplit

from pipelines.errors import BadInput
from pipelines.models.completions import Price
from pipelines.models.endpoint import LOOPBACK, Endpoint, EndpointEngine
from pipelines.models.engine import Engine
from pipelines.models.spec import EngineSpec


def price_of(spec: EngineSpec) -> Price | None:
    """The price of a model's tokens; one's own machine is free unless a price is set."""
    if spec.usd_per_1m_input is not None and spec.usd_per_1m_output is not None:
        return Price(spec.usd_per_1m_input, spec.usd_per_1m_output)
    at_home = spec.engine != "endpoint" or urlsplit(spec.base_url).hostname in LOOPBACK
    return Price(0.0, 0.0) if at_home else None


def check_bounded(spec: EngineSpec, max_requests: int | None) -> None:
    """No outside service is asked without a bound on what it may cost.

    Raises:
        BadInput: The model has no price, and requests are not bounded either.
    """
    if price_of(spec) is None and max_requests is None:
        raise BadInput(
            f'{spec.noun} "{spec.name}": has no price, so budget_usd cannot bound it; set '
            "usd_per_1m_input and usd_per_1m_output (0 for a server of your own), or max_requests"
        )


def endpoint_of(spec: EngineSpec) -> Endpoint:
    """Where and how an endpoint is asked."""
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


def build_engine(spec: EngineSpec, project_dir: Path) -> Engine:
    """The engine of a model; a local one is loaded, from a folder of the project or the hub.

    Args:
        spec: Its section.
        project_dir: What relative folders are relative to.

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
        f'{spec.noun} "{spec.name}": a trained labeler is not asked questions, it labels whole '
        "pairs"
    )

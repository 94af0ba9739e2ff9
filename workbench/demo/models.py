"""The demo's flow on models of the visitor's own: what `--model` and `--judge` mean."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import BadInput
from pipelines.judge.spec import Mode
from workbench.demo.flow import Cast, quoted

_ADDRESS = re.compile(r"(?P<url>https?://[^#\s]+)#(?P<model>\S+)")


@dataclass(frozen=True)
class Named:
    """A model as the command line names it."""

    name: str  # as the demo calls it
    engine: str
    model: str
    base_url: str = ""

    def section(self, kind: str, more: Sequence[str] = ()) -> str:
        """Its section of project.toml.

        Args:
            kind: "models" or "judges".
            more: Further lines.
        """
        lines = [
            f"[[{kind}]]",
            f"name = {quoted(self.name)}",
            f"engine = {quoted(self.engine)}",
            f"model = {quoted(self.model)}",
        ]
        if self.base_url:
            lines.append(f"base_url = {quoted(self.base_url)}")
        return "\n".join(["", *lines, *more, ""])


def read_name(text: str) -> Named:
    """A model from `http://HOST/v1#NAME`, a folder, or a name on the Hugging Face hub.

    Raises:
        BadInput: It is none of them.
    """
    if text.startswith(("http://", "https://")):
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise BadInput(
                f"{text}: does not say which model; write the address, # and the model's name "
                "there, as in http://127.0.0.1:8000/v1#qwen2.5-7b-instruct"
            )
        return Named(_short(found["model"]), "endpoint", found["model"], found["url"])
    path = Path(text).expanduser()
    if path.is_dir():
        return Named(_short(path.resolve().name), "local", str(path.resolve()))
    if re.fullmatch(r"[\w.-]+/[\w.-]+", text) and not text.startswith("."):
        return Named(_short(text), "local", text)
    raise BadInput(
        f"{text}: is no folder, no name on the hub (ORG/NAME) and no address "
        "(http://HOST:PORT/v1#NAME); correct it"
    )


def read_mode(text: str) -> Mode:
    """How judges are asked, of the two ways that the demo knows.

    Raises:
        BadInput: It is another.
    """
    if text == "logprob":
        return "logprob"
    if text == "verdict":
        return "verdict"
    raise BadInput(f'--judge-mode is "{text}"; it must be logprob or verdict')


def own_judges(
    names: Sequence[str], mode: Mode, api_key_env: str
) -> tuple[str, tuple[str, ...], tuple[Named, ...]]:
    """The `[[judges]]` sections of the judges that are named, their names, and themselves."""
    found = tuple(read_name(text) for text in names)
    called = [one.name for one in found]
    for name in called:
        if called.count(name) > 1:
            raise BadInput(f'two judges are called "{name}"; name each once')
    more = [f"mode = {quoted(mode)}", *_key(api_key_env)]
    return (
        "".join(one.section("judges", more if one.base_url else more[:1]) for one in found),
        tuple(called),
        found,
    )


def own_cast(
    model: str,
    judges: Sequence[str],
    mode: Mode,
    api_key_env: str = "",
    max_requests: int | None = None,
) -> Cast:
    """A policy and judges of the visitor's own; the first judge criticises and revises too.

    Nobody simulated takes part: the truth is known about the sandbox's own replies only, so there
    is nobody who could label before the visitor does.

    Args:
        model: Who answers the customers.
        judges: Who judges; at least one.
        mode: How the judges are asked.
        api_key_env: The environment variable that holds the endpoints' key.
        max_requests: Of each stage; needed where an endpoint is not on this machine.

    Raises:
        BadInput: A name is no model.
    """
    policy = read_name(model)
    sections, names, found = own_judges(judges, mode, api_key_env)
    key = _key(api_key_env)
    writes = ["max_tokens = 200"]
    models = policy.section("models", [*writes, *key] if policy.base_url else writes)
    critic = found[0]
    if critic.name != policy.name:
        models += critic.section("models", key if critic.base_url else [])
    most = [] if max_requests is None else [f"max_requests = {max_requests}"]
    settings = {
        "generate": [f"models = [{quoted(policy.name)}]", *most],
        "revise": [f"critic = {quoted(critic.name)}", *most],
        "audit": [f"label = {quoted(names[0])}"],
    }
    limits = "".join(f"\n[judging]\n{line}\n" for line in most)
    return Cast(
        f"{limits}\n# Who is asked: as `workbench demo` was told.\n{models}{sections}",
        {section: "\n".join(lines) for section, lines in settings.items()},
        simulated=False,
        people=(),
    )


def _key(api_key_env: str) -> list[str]:
    return [f"api_key_env = {quoted(api_key_env)}"] if api_key_env else []


def _short(name: str) -> str:
    """A name that may be a folder's: the last part of the model's."""
    return re.sub(r"[^\w.+-]", "-", name.rstrip("/").rsplit("/", 1)[-1]).lstrip(".") or "model"

"""What critics and revisers are asked, from `data/revise/<language>.toml`.

Conversation and response are untrusted: they stand between marks with a code that occurs in none
of them, and chat control tokens in them are broken up, as in the judges' questions.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator

from pipelines.constitution.records import Line, Principle
from pipelines.errors import BadInput
from pipelines.judge.question import fill, free_code, harmless
from pipelines.records import Message, Record
from pipelines.toml_files import read_toml

CRITIQUE_MARK = "Answer in exactly three parts"
REVISION_MARK = "Write only the revised response."
FOLDER = "revise"


def _ends_as_agreed(mark: str) -> AfterValidator:
    def check(text: str) -> str:
        if not text.strip().splitlines()[-1].startswith(mark):
            raise ValueError(f'its last line must begin "{mark}"; put that line at its end')
        return text

    return AfterValidator(check)


class RevisePrompts(Record):
    """The texts of one language; words in braces are filled in."""

    critic: Line
    reviser: Line
    critique: Annotated[Line, _ends_as_agreed(CRITIQUE_MARK)]
    repair: Annotated[Line, _ends_as_agreed(CRITIQUE_MARK)]
    revision: Annotated[Line, _ends_as_agreed(REVISION_MARK)]
    example: Line

    def hash(self) -> str:
        """Names these texts."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def to_critic(
        self, principle: Principle, prompt: str | tuple[Message, ...], response: str
    ) -> tuple[Message, ...]:
        """Asks whether a response keeps a principle."""
        code = free_code((*_contents(prompt), response))
        asked = fill(
            self.critique,
            {
                **_about(principle),
                "examples": self._examples(principle),
                "conversation": _conversation(prompt, code),
                "response": _fenced("response", code, response),
                "question": principle.critique_question.strip(),
            },
        )
        return _messages(self.critic, asked)

    def to_critic_again(self, principle: Principle) -> Message:
        """Asks again for an answer that could not be read."""
        return Message(role="user", content=fill(self.repair, {"id": principle.id}))

    def to_reviser(
        self, principle: Principle, prompt: str | tuple[Message, ...], response: str, critique: str
    ) -> tuple[Message, ...]:
        """Asks for a response that keeps a principle."""
        code = free_code((*_contents(prompt), response, critique))
        asked = fill(
            self.revision,
            {
                **_about(principle),
                "conversation": _conversation(prompt, code),
                "response": _fenced("response", code, response),
                "critique": _fenced("critique", code, critique),
                "request": principle.revision_request.strip(),
            },
        )
        return _messages(self.reviser, asked)

    def _examples(self, principle: Principle) -> str:
        return "".join(
            "\n"
            + fill(
                self.example,
                {
                    "prompt": one.prompt.strip(),
                    "response": one.response.strip(),
                    "verdict": "violated" if one.violates else "satisfied",
                    "why": one.why.strip(),
                },
            )
            + "\n"
            for one in principle.examples
        )


def load_prompts(language: Literal["en", "zh"], folders: tuple[Path, ...]) -> RevisePrompts:
    """The prompts of a language; a project's own file goes before the program's.

    Args:
        language: Of the constitution.
        folders: Where `revise/<language>.toml` is looked up, in this order.

    Raises:
        BadInput: There is none, or it is wrong.
    """
    for folder in folders:
        path = folder / FOLDER / f"{language}.toml"
        if path.is_file():
            prompts = read_toml(path, RevisePrompts, "prompts for critique and revision")
            _try_out(path, prompts)
            return prompts
    raise BadInput(
        f"{folders[-1] / FOLDER / f'{language}.toml'}: the prompts for critique and revision are "
        "missing; install the program again"
    )


def _try_out(path: Path, prompts: RevisePrompts) -> None:
    """A word in braces that nobody fills in is told before anything is asked."""
    principle = Principle.model_validate(
        {
            **dict.fromkeys(("id", "name", "description"), "x"),
            **dict.fromkeys(("comparison_question", "critique_question", "revision_request"), "x"),
            "examples": [{"prompt": "x", "response": "x", "violates": True, "why": "x"}],
        }
    )
    try:
        prompts.to_critic(principle, "x", "x")
        prompts.to_critic_again(principle)
        prompts.to_reviser(principle, "x", "x", "x")
    except (KeyError, ValueError, IndexError) as error:
        raise BadInput(
            f"{path}: has braces that are not filled in ({error}); write {{{{ and }}}} for braces"
        ) from error


def _messages(system: str, asked: str) -> tuple[Message, ...]:
    return (
        Message(role="system", content=system.strip()),
        Message(role="user", content=asked),
    )


def _about(principle: Principle) -> dict[str, str]:
    return {
        "id": principle.id,
        "name": principle.name.strip().rstrip("."),
        "description": principle.description.strip(),
    }


def _contents(prompt: str | tuple[Message, ...]) -> tuple[str, ...]:
    return (prompt,) if isinstance(prompt, str) else tuple(turn.content for turn in prompt)


def _fenced(name: str, code: str, text: str) -> str:
    return f"<{name} {code}>\n{harmless(text)}\n</{name} {code}>"


def _conversation(prompt: str | tuple[Message, ...], code: str) -> str:
    if isinstance(prompt, str):
        prompt = (Message(role="user", content=prompt),)
    turns = "\n".join(f"[{turn.role} {code}]\n{harmless(turn.content)}" for turn in prompt)
    return f"<conversation {code}>\n{turns}\n</conversation {code}>"

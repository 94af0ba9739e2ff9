"""A pair as text, and the endings that ask about it.

What the pair holds is untrusted. It stands between fences with a code that occurs in none of its
texts, and what a chat template would read as a control token is broken up, so no response can end
its own block, write another's, or speak as somebody else.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from pipelines.judge.template_file import Criterion, TemplateFile
from pipelines.records import Message, Order, PreferencePair

# Control tokens of the chat templates in use: ChatML, Llama 2 and 3, Mistral, Gemma, DeepSeek, Phi.
_CONTROL = re.compile(
    r"<(?=[|｜][^<>\n]{1,60}[|｜]>)"  # <|im_start|>, <|eot_id|>, <｜User｜>
    r"|<(?=/?(?:s|bos|eos|pad|unk|start_of_turn|end_of_turn)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS)\])"
    r"|<(?=</?SYS>>)",
    re.IGNORECASE,
)
_ZERO_WIDTH = "\u200b"


@dataclass(frozen=True)
class Shown:
    """A pair as the judge sees it: `first` and `second` are texts, A and B no more."""

    prompt: str | tuple[Message, ...]
    first: str
    second: str

    @classmethod
    def of(cls, pair: PreferencePair, order: Order) -> "Shown":
        """The pair with response_a first (`ab`) or second (`ba`)."""
        first, second = pair.response_a, pair.response_b
        if order == "ba":
            first, second = second, first
        return cls(pair.prompt, first, second)


def pair_text(parts: TemplateFile, shown: Shown) -> str:
    """Both responses, fenced."""
    fence = _Fence(parts, shown.prompt, shown.first, shown.second)
    names = parts.names
    first, second = parts.answers
    return parts.pair.both.format(
        prompt=fence.prompt(shown.prompt),
        first=fence.block(f"{names.response} {first}", shown.first),
        second=fence.block(f"{names.response} {second}", shown.second),
    ).strip()


def response_text(parts: TemplateFile, prompt: str | tuple[Message, ...], response: str) -> str:
    """One response alone, fenced."""
    fence = _Fence(parts, prompt, response)
    return parts.pair.alone.format(
        prompt=fence.prompt(prompt),
        response=fence.block(parts.names.response, response),
    ).strip()


def comparison_values(parts: TemplateFile, question: str | None = None) -> dict[str, str]:
    """What the endings of a comparison are filled with.

    Args:
        parts: The template file.
        question: A principle's own question in place of the whole comparison.
    """
    first, second = parts.answers
    asked = parts.ending.question if question is None else question
    return {"question": asked.strip(), "a": first, "b": second, "tie": parts.tie}


def rating_values(criterion: Criterion, scale: int) -> dict[str, str]:
    """What the endings of a rating are filled with."""
    return {
        "criterion": criterion.title.strip(),
        "description": criterion.description.strip(),
        "low": "1",
        "high": str(scale),
    }


def fill(part: str, values: dict[str, str]) -> str:
    """A part with its placeholders filled; values are never read as parts themselves."""
    return part.format_map(values).strip()


def harmless(text: str) -> str:
    """The text with every chat control token broken by a zero-width space, else as it is."""
    return _CONTROL.sub(rf"\g<0>{_ZERO_WIDTH}", text)


class _Fence:
    """Fences around the untrusted texts of one question.

    The code follows from the texts, so the same question is always the same text; it is tried
    again until it occurs in none of them, however they are written.
    """

    def __init__(
        self, parts: TemplateFile, prompt: str | tuple[Message, ...], *responses: str
    ) -> None:
        turns = (prompt,) if isinstance(prompt, str) else tuple(turn.content for turn in prompt)
        self.names = parts.names
        self.code = free_code((*turns, *responses))

    def block(self, name: str, text: str) -> str:
        return f"<{name} {self.code}>\n{harmless(text)}\n</{name} {self.code}>"

    def prompt(self, prompt: str | tuple[Message, ...]) -> str:
        names = self.names
        if isinstance(prompt, str):
            return self.block(names.prompt, prompt)
        turns = "\n".join(
            f"[{getattr(names, turn.role)} {self.code}]\n{harmless(turn.content)}"
            for turn in prompt
        )
        return f"<{names.prompt} {self.code}>\n{turns}\n</{names.prompt} {self.code}>"


def free_code(texts: tuple[str, ...]) -> str:
    """A code that occurs in none of these texts; the same texts always get the same one."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(encoded))
        digest.update(encoded)
    seen = [text if text.isascii() else unicodedata.normalize("NFKC", text) for text in texts]
    length = 6
    while True:
        code = digest.hexdigest()[:length]
        if not any(code in text.lower() for text in seen):
            return code
        length += 1  # a text of any size runs out of codes that it could hold
        digest.update(b"again")

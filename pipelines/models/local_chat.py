"""Messages to tokens, by the model's own chat template.

Text of messages never becomes a control token: a response that holds `<|im_end|>` is read as these
characters. A template without a system role gets the system message at the head of the first user
message. Thinking, where a template can switch it, is off: a verdict is the next token. The date
that some templates show is fixed where they let it be, so that the same question is the same
tokens on every day.
"""

import threading
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from pipelines.errors import BadInput
from pipelines.records import Message

_DATE = "26 Jul 2024"  # what Llama's templates show when nobody tells them
_TAIL = 64  # characters at the end of a prompt that decide how the next one is cut into tokens


class Chat:
    """A tokenizer with its chat template. May be used from several threads."""

    def __init__(self, name: str, tokenizer: Any):
        """Finds out whether the template knows the system role.

        Raises:
            BadInput: The template cannot even show a user's message.
        """
        self._name = name
        self._tokenizer = tokenizer
        self._lock = threading.Lock()  # a fast tokenizer may not be changed while it is used
        self._answers: dict[tuple[tuple[str, str], str], tuple[int, int]] = {}
        user = Message(role="user", content="the question")
        try:
            self._render((user,))
        except (TemplateError, TypeError, ValueError) as error:
            raise BadInput(
                f"{name}: the chat template cannot be used ({_first_line(error)}); put the model's "
                "own chat_template.jinja beside its tokenizer"
            ) from error
        try:
            shown = self._render((Message(role="system", content="the preamble"), user))
            self.folds_system = "the preamble" not in shown
        except (TemplateError, TypeError, ValueError):
            self.folds_system = True

    def tokens(self, conversations: Sequence[tuple[Message, ...]]) -> list[list[int] | str]:
        """Token ids of each conversation, ready for the model's answer; or why there are none."""
        with self._lock:
            try:
                return [*self._tokens(conversations)]
            except (TemplateError, TypeError, ValueError):
                return [self._tokens_or_reason(messages) for messages in conversations]

    def answers(self, messages: tuple[Message, ...], answers: tuple[str, str]) -> tuple[int, int]:
        """The token of each answer as what comes next after these messages.

        Raises:
            BadInput: One of them is not exactly one token there, or both are the same one.
        """
        last = messages[-1]
        ending = last.content[-_TAIL:] if last.role == "assistant" else ""
        with self._lock:
            known = self._answers.get((answers, ending))
            if known is None:
                tail = self._render(self._shaped(messages))[-_TAIL:]
                known = self._next_token(tail, answers[0]), self._next_token(tail, answers[1])
                if known[0] == known[1]:
                    raise BadInput(
                        f"{self._name}: the answers {answers[0]!r} and {answers[1]!r} are one and "
                        "the same token; give the template other answers"
                    )
                self._answers[answers, ending] = known
        return known

    def _next_token(self, tail: str, answer: str) -> int:
        before = self._encode(tail)
        after = self._encode(tail + answer)
        if len(after) != len(before) + 1 or after[:-1] != before:
            raise BadInput(
                f"{self._name}: the answer {answer!r} is not one token after {tail[-20:]!r}; give "
                'the template other answers or another ending, or set mode = "verdict"'
            )
        return after[-1]

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _tokens_or_reason(self, messages: tuple[Message, ...]) -> list[int] | str:
        try:
            return self._tokens([messages])[0]
        except (TemplateError, TypeError, ValueError) as error:
            return f"the chat template of {self._name} refuses the messages: {_first_line(error)}"

    def _tokens(self, conversations: Sequence[tuple[Message, ...]]) -> list[list[int]]:
        ids: list[list[int]] = [[] for _ in conversations]
        for continued in (False, True):
            chosen = [
                number
                for number, messages in enumerate(conversations)
                if (messages[-1].role == "assistant") == continued
            ]
            if not chosen:
                continue
            found = self._tokenizer.apply_chat_template(
                [self._dicts(self._shaped(conversations[number])) for number in chosen],
                return_dict=False,
                sanitize_control_tokens=True,
                **_options(continued),
            )
            for number, tokens in zip(chosen, found, strict=True):
                ids[number] = tokens
        return ids

    def _render(self, messages: tuple[Message, ...]) -> str:
        continued = messages[-1].role == "assistant"
        return str(
            self._tokenizer.apply_chat_template(
                self._dicts(messages), tokenize=False, **_options(continued)
            )
        )

    def _shaped(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """The messages in roles that the template knows."""
        if not self.folds_system or messages[0].role != "system":
            return messages
        system, *others = messages
        if others and others[0].role == "user":
            system = Message(role="user", content=f"{system.content}\n\n{others.pop(0).content}")
        return (Message(role="user", content=system.content), *others)

    @staticmethod
    def _dicts(messages: tuple[Message, ...]) -> list[dict[str, str]]:
        return [{"role": message.role, "content": message.content} for message in messages]


def _options(continued: bool) -> dict[str, Any]:
    """What every rendering is told; a template takes what it knows of it."""
    return {
        "add_generation_prompt": not continued,
        "continue_final_message": continued,
        "enable_thinking": False,
        "date_string": _DATE,
    }


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or ["no reason"])[0].rstrip(".")

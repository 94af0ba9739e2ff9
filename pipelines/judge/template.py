"""What one judge uses of its prompt files: preamble, constitution, examples, endings; and its hash.

The files are looked up in the project first, then among those that ship.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from pipelines.constitution.records import Constitution, load_constitution
from pipelines.errors import BadInput
from pipelines.judge.parse import Verdict, write_verdict
from pipelines.judge.question import Shown, fill, pair_text
from pipelines.judge.spec import JudgeSpec, Mode
from pipelines.judge.template_file import Criterion, Example, ExampleFile, TemplateFile
from pipelines.records import Message
from pipelines.toml_files import read_toml

# Goes into every hash: raise it when question.py puts the same parts together differently.
RENDERING = 1


@dataclass(frozen=True)
class Template:
    """What one judge uses of a template file; `hash` covers that and nothing else."""

    parts: TemplateFile
    mode: Mode
    preamble: Literal["basic", "detailed"] = "detailed"
    constitution: Constitution | None = None
    examples: tuple[Example, ...] = ()
    criteria: tuple[Criterion, ...] = ()

    @cached_property
    def hash(self) -> str:
        """SHA-256 (32 hex digits) of every text that this mode may put into a question."""
        parts = self.parts.model_dump(
            mode="json", exclude={"task", "preamble", "constitution", "few_shot", "criteria"}
        )
        for name in _UNUSED_ENDINGS[self.mode]:
            del parts["ending"][name]
        used = {
            "rendering": RENDERING,
            "parts": parts,
            "preamble": getattr(self.parts.preamble, self.preamble),
            "constitution": self.constitution and self._constitution_texts(self.constitution),
            "examples": self.examples
            and [
                self.parts.few_shot.model_dump(mode="json"),
                *(example.model_dump(mode="json") for example in self.examples),
            ],
            "criteria": [criterion.model_dump(mode="json") for criterion in self.criteria],
        }
        text = json.dumps(used, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    @cached_property
    def system(self) -> Message:
        """The message that all questions of this judge share: who it is, its rules, examples."""
        texts = [getattr(self.parts.preamble, self.preamble), self.parts.material]
        if self.constitution is not None and self.mode not in _BY_PRINCIPLE:
            part = self.parts.constitution
            lines = [
                fill(part.principle, {"name": one.name, "description": one.description.strip()})
                for one in self.constitution.principles
            ]
            texts.append(fill(part.text, {"principles": "\n".join(lines)}))
        if self.examples:
            shown = [self._example(n, example) for n, example in enumerate(self.examples, 1)]
            texts.append(fill(self.parts.few_shot.text, {"examples": "\n\n".join(shown)}))
        return Message(role="system", content="\n\n".join(text.strip() for text in texts))

    def _example(self, number: int, example: Example) -> str:
        """One example, with the reply in the form that the mode asks for."""
        answers = self.parts.answers
        first = example.winner == "A"
        reply = answers[0] if first else answers[1]
        if self.mode == "verdict":
            verdict = Verdict("first" if first else "second", example.confidence)
            reply = write_verdict(self.parts.language, answers, self.parts.tie, verdict)
        if self.mode != "logprob":
            reply = f"{example.rationale.strip()}\n\n{reply}"
        shown = Shown(example.prompt, example.response_a, example.response_b)
        return fill(
            self.parts.few_shot.example,
            {"number": str(number), "pair": pair_text(self.parts, shown), "reply": reply},
        )

    def _constitution_texts(self, constitution: Constitution) -> list[object]:
        """What is asked of a constitution; how it criticises and revises is not."""
        asked = {"name", "description"}
        if self.mode in _BY_PRINCIPLE:
            asked = {"id", "weight", _BY_PRINCIPLE[self.mode]}
        principles = [one.model_dump(mode="json", include=asked) for one in constitution.principles]
        return [self.parts.constitution.model_dump(mode="json"), *principles]


# Modes that ask each principle's own question, and which one.
_BY_PRINCIPLE: dict[Mode, str] = {
    "per-principle": "comparison_question",
    "check": "critique_question",
}
_RATING = ("rating", "rating_with_rationale", "rating_repair")
_VERDICT = ("verdict", "verdict_with_rationale", "verdict_repair")
_CHECK = ("check", "check_repair")
# With `answer = "verdict"` the modes of samples and principles use either way to answer.
_UNUSED_ENDINGS: dict[Mode, tuple[str, ...]] = {
    "logprob": ("rationale", *_VERDICT, *_RATING, *_CHECK),
    "cot+logprob": (*_VERDICT, *_RATING, *_CHECK),
    "verdict": ("rationale", "logprob", *_RATING, *_CHECK),
    "self-consistency": (*_RATING, *_CHECK),
    "per-principle": ("rationale", *_RATING, *_CHECK),
    "rating": ("question", "rationale", "logprob", *_VERDICT, *_CHECK),
    "check": ("question", "rationale", "logprob", *_VERDICT, *_RATING),
}


def load_template_file(path: Path) -> TemplateFile:
    """A template file, checked.

    Raises:
        BadInput: It cannot be read, a part or placeholder is missing or unknown.
    """
    return read_toml(path, TemplateFile, "a prompt template")


def load_examples(path: Path) -> tuple[Example, ...]:
    """The few-shot examples in a file.

    Raises:
        BadInput: It cannot be read, or a key is missing or unknown.
    """
    return read_toml(path, ExampleFile, "a file of examples").examples


def load_template(spec: JudgeSpec, folders: Sequence[Path]) -> Template:
    """What a judge uses, from the files that its section names.

    Args:
        spec: The judge. `template` is the name of one that ships or a `.toml` file; `examples`
            and `constitution` are likewise, or empty.
        folders: Where to look, first match wins: the project's folder, then the program's `data`.

    Raises:
        BadInput: A file is missing or wrong, or the mode lacks something; names the judge.
    """
    parts = load_template_file(
        _find(spec, "template", spec.template, f"prompts/{spec.language}", folders)
    )
    where = f'judge "{spec.name}"'
    if parts.language != spec.language:
        raise BadInput(
            f'{where}: template "{spec.template}" is in "{parts.language}", not in '
            f'"{spec.language}"; set language = "{parts.language}" or name another template'
        )
    constitution = (
        load_constitution(_find(spec, "constitution", spec.constitution, "constitutions", folders))
        if spec.constitution
        else None
    )
    examples = (
        load_examples(
            _find(spec, "examples", spec.examples, f"prompts/{spec.language}/examples", folders)
        )
        if spec.examples
        else ()
    )
    if spec.mode in _BY_PRINCIPLE and constitution is None:
        raise BadInput(f"{where}: mode {spec.mode} needs a constitution; set constitution")
    if examples and (spec.mode == "rating" or spec.mode in _BY_PRINCIPLE):
        raise BadInput(
            f"{where}: mode {spec.mode} takes no examples (they show whole comparisons); "
            "take examples out"
        )
    criteria = _chosen_criteria(spec, parts) if spec.mode == "rating" else ()
    _check_weights(spec, constitution, criteria)
    return Template(parts, spec.mode, spec.preamble, constitution, examples, criteria)


def _find(spec: JudgeSpec, key: str, value: str, shipped: str, folders: Sequence[Path]) -> Path:
    """The file that a key of the judge's section names."""
    file = Path(value if value.endswith(".toml") else f"{value}.toml")
    tried = [place for folder in folders for place in (folder / file, folder / shipped / file)]
    for path in tried:
        if path.is_file():
            return path
    known = sorted({p.stem for folder in folders for p in (folder / shipped).glob("*.toml")})
    raise BadInput(
        f'judge "{spec.name}": {key} "{value}" is no file in the project and none that ships; '
        f"those that ship: {', '.join(known) or 'none'}"
    )


def _chosen_criteria(spec: JudgeSpec, parts: TemplateFile) -> tuple[Criterion, ...]:
    by_name = {criterion.name: criterion for criterion in parts.criteria}
    for name in spec.criteria:
        if name not in by_name:
            raise BadInput(
                f'judge "{spec.name}": template "{spec.template}" has no criterion "{name}"; '
                f"it has: {', '.join(by_name)}"
            )
    return tuple(by_name[name] for name in spec.criteria) or parts.criteria


def _check_weights(
    spec: JudgeSpec, constitution: Constitution | None, criteria: tuple[Criterion, ...]
) -> None:
    """Weights name what is aggregated, and leave something to aggregate."""
    own = {criterion.name: 1.0 for criterion in criteria}
    if spec.mode in _BY_PRINCIPLE and constitution is not None:
        own = {principle.id: principle.weight for principle in constitution.principles}
    for name in spec.weights:
        if name not in own:
            known = ", ".join(own) or f"none in mode {spec.mode}"
            raise BadInput(f'judge "{spec.name}": weights names "{name}"; there are: {known}')
    if own and not any((own | spec.weights).values()):
        raise BadInput(f'judge "{spec.name}": all weights are 0; set one above 0')

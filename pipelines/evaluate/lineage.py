"""Who labelled what a policy was trained on, and whether the same judge now scores it.

A trained model's folder says what it was trained on; the audit file beside an export says whose
labels these were. A model's start, and a reward model, pass theirs on.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.evaluate.result import LeakFound, LeakKind
from pipelines.judge.fitness import model_name
from pipelines.train.run_folder import MODEL, RunFolder

_SIMULATED = "simulated"
_JUDGE = "judge:"  # before a judge's name, where [train] may also name a function


@dataclass(frozen=True)
class Lineage:
    """Where a policy's labels came from.

    Attributes:
        judges: Judge -> the training runs by which its labels came in, last first.
        unknown: Runs whose data do not say whose labels they hold.
        base: The model that training began from, by its own name.
    """

    judges: dict[str, tuple[str, ...]]
    unknown: tuple[str, ...]
    base: str = ""


def lineage_of(run: Path, project_dir: Path) -> Lineage:
    """Every judge whose labels went into a training run, its start and its reward model.

    Args:
        run: The run's folder, with its run.json.
        project_dir: What relative paths in it are relative to.
    """
    judges: dict[str, tuple[str, ...]] = {}
    unknown: list[str] = []
    bases: list[str] = []
    seen: set[Path] = set()

    def follow(folder: Path, through: tuple[str, ...], starts: bool) -> None:
        asked = RunFolder(folder).asked()
        if asked is None or folder.resolve() in seen:
            return
        seen.add(folder.resolve())
        through = (*through, folder.name)
        method = asked.get("method")
        if method in ("ppo", "a2c", "rloo", "grpo"):
            key = "ppo" if method == "a2c" else str(method)
            section = _object(_object(asked.get("settings")).get(key))
            for judge in _rewarding(section):
                judges.setdefault(judge, through)
            reward_model = section.get("reward_model")
            if isinstance(reward_model, str) and reward_model:
                follow(_run_of(project_dir / reward_model), through, False)
        else:
            found = _labelled_by(project_dir / str(asked.get("data", "")))
            if found is None:
                unknown.append(folder.name)
            for judge in found or ():
                judges.setdefault(judge, through)
        start = asked.get("model")
        if isinstance(start, str) and start:
            if starts and RunFolder(_run_of(project_dir / start)).asked() is None:
                bases.append(start)
            follow(_run_of(project_dir / start), through, starts)

    follow(run, (), True)
    return Lineage(judges, tuple(unknown), bases[0] if bases else "")


def leaks(
    policies: Mapping[str, str],
    lineages: Mapping[str, Lineage],
    judges: Mapping[str, str],
    known: Mapping[str, str],
) -> tuple[LeakFound, ...]:
    """Every judge of this evaluation that had a hand in what it judges, the worst kind of each.

    Args:
        policies: Policy -> its model.
        lineages: Policy -> its lineage, of those that were trained here.
        judges: Judge of the evaluation -> its model.
        known: Any judge of the project -> its model.
    """
    found: list[LeakFound] = []
    for policy, model in policies.items():
        for judge, judge_model in judges.items():
            lineage = lineages.get(policy)
            kin = []
            for labeller, through in (lineage.judges if lineage else {}).items():
                kind = _relation(judge, judge_model, labeller, known.get(labeller))
                if kind is not None:
                    kin.append((_WORST.index(kind), kind, labeller, through))
            if kin:
                _, kind, labeller, through = min(kin)
                found.append(
                    LeakFound(
                        kind=kind, judge=judge, policy=policy, labelled_by=labeller, through=through
                    )
                )
            elif _kinship(judge_model, model if lineage is None else lineage.base):
                found.append(
                    LeakFound(kind="judges itself", judge=judge, policy=policy, labelled_by=judge)
                )
    return tuple(found)


_WORST: tuple[LeakKind, ...] = ("same judge", "same model", "same family", "judges itself")


def _relation(
    judge: str, judge_model: str, labeller: str, labeller_model: str | None
) -> LeakKind | None:
    if judge == labeller:
        return "same judge"
    return _kinship(judge_model, labeller_model or labeller)


def _kinship(one: str, other: str) -> LeakKind | None:
    if model_name(one) == model_name(other):
        return "same model"
    return "same family" if families(one) & families(other) else None


def families(model: str) -> frozenset[str]:
    """The families that a model's name tells of: qwen and deepseek of DeepSeek-R1-Distill-Qwen-7B.

    Known ones wherever they stand in the name, else the word that it begins with. Simulated models
    share a name and nothing else.
    """
    name = model_name(model)
    if name.startswith(_SIMULATED):
        return frozenset()
    known = {family for family, pattern in _FAMILIES.items() if re.search(pattern, name)}
    first = re.match(r"[a-z]{3,}", name)
    if not known and first is not None and first.group() not in _GENERIC:
        known.add(first.group())
    return frozenset(known)


# Families whose members go by several names. A word that only begins a longer one is none of them.
_FAMILIES = {
    "gpt": r"gpt(?!q)|^o[1-9](?![a-z])|davinci",
    "claude": r"claude",
    "gemini": r"gemini|gemma",
    "llama": r"llama|vicuna",
    "qwen": r"qwen|qwq",
    "mistral": r"mistral|mixtral|ministral|codestral|magistral|zephyr",
    "deepseek": r"deepseek",
    "phi": r"(?<![a-z])phi(?![a-z])",
}
_GENERIC = frozenset(
    {"base", "chat", "checkpoint", "dpo", "final", "grpo", "instruct", "judge", "kto", "merged"}
    | {"model", "orpo", "output", "policy", "ppo", "reward", "rloo", "sft", "start", "test", "tiny"}
)


def _run_of(path: Path) -> Path:
    """The run's folder of a model's folder."""
    return path.parent if path.name == MODEL else path


def _labelled_by(data: Path) -> tuple[str, ...] | None:
    """The judges that an export's audit file names; None where there is none."""
    facts = _audit_file(data)
    if facts is None:
        return None
    label = facts.get("label")
    judges = _object(facts.get("ai")).get("judges")
    listed = [one for one in judges if isinstance(one, str)] if isinstance(judges, list) else []
    if not isinstance(label, str):
        return ()
    base = label.removesuffix("+corrected").removesuffix("+calibrated")
    return (base,) if base in listed or not listed else tuple(listed)


def _audit_file(data: Path) -> dict[str, Any] | None:
    if data.is_dir():
        return _read(data / "audit.json") or _read(data.parent / "audit.json")
    own = _read(data.with_name(f"{data.name}.audit.json"))
    if own is not None:
        return own
    # A file of one split stands beside the audit file of all of them.
    for path in sorted(data.parent.glob("*.audit.json")):
        facts = _read(path)
        if facts and data.name in _object(facts.get("data_files")).values():
            return facts
    return None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return _object(json.loads(path.read_text(encoding="utf-8"))) or None
    except (OSError, ValueError):
        return None


def _rewarding(section: Mapping[str, Any]) -> list[str]:
    """Judges whose ratings are rewarded: in place of a reward model, or as the constitution."""
    named = [section.get("judge")]
    constitution = section.get("constitution")
    if isinstance(constitution, str) and constitution.startswith(_JUDGE):
        named.append(constitution.removeprefix(_JUDGE))
    return [name for name in named if isinstance(name, str) and name]


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def suspects(found: Sequence[LeakFound], judge: str) -> frozenset[str]:
    """The policies that a judge is suspected of favouring."""
    return frozenset(one.policy for one in found if one.judge == judge)

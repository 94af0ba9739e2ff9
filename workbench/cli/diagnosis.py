"""What a file of preferences supports, and what this machine can do: the checks of `doctor`."""

import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.agreement.annotations import NONE, Annotations, IntArray
from pipelines.agreement.position import labels_by_order
from pipelines.agreement.reference import human_reference, votes_of
from pipelines.agreement.report import by_judge
from workbench.cli.reading import counted

if TYPE_CHECKING:
    from pipelines.records import PreferencePair

_MIN_ITEMS = 30  # of the alternative annotator test
_MIN_FREE_GB = 5.0
_TESTED_PYTHON = (3, 11)
_EXTRAS = {
    "train": ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers"),
    "argilla": ("argilla",),
    "scale": ("ray",),
    "postgres": ("psycopg",),
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: whether it is there, and a sentence on it."""

    what: str
    ok: bool
    detail: str


@dataclass
class TextFeatures:
    """What the rows hold beside verdicts, collected one pair at a time."""

    n_pairs: int = 0
    n_without_text: int = 0
    n_with_models: int = 0
    n_equal_length: int = 0
    n_own_model: int = 0  # a judge whose name is that of one of the two models
    subsets: Counter[str] = field(default_factory=Counter)

    def add(self, pair: "PreferencePair") -> None:
        """The next pair of the file."""
        self.n_pairs += 1
        self.n_without_text += not (pair.response_a or pair.response_b)
        self.n_equal_length += len(pair.response_a) == len(pair.response_b)
        models = {pair.model_a, pair.model_b} - {None}
        self.n_with_models += len(models) == 2
        self.n_own_model += any(j.judge.split("@")[0] in models for j in pair.ai)
        if pair.subset is not None:
            self.subsets[pair.subset] += 1


def check_file(annotations: Annotations, features: TextFeatures | None) -> list[Check]:
    """Which statistics these verdicts support; `features` is None for an imported project."""
    votes = votes_of(annotations)
    labelled = human_reference(annotations, votes=votes) != NONE
    answered = annotations.verdict_label != NONE
    n_labelled, n_failed = int(labelled.sum()), int((~answered).sum())
    n_people = len(np.unique(votes.annotator))
    n_compared = len(
        np.unique(annotations.verdict_pair[answered & labelled[annotations.verdict_pair]])
    )
    n_votes = np.bincount(votes.pair, minlength=annotations.n_pairs)
    n_overlap = int((n_votes >= 2).sum())
    checks = [
        _counted(
            "AI verdicts",
            len(annotations.verdict_pair),
            f"{counted(len(annotations.judges), 'judge')}, {{:,}} verdicts, {n_failed:,} failed",
            'none; give each row an "ai" list with judge, order and label or p_a',
        ),
        _counted(
            "human labels",
            len(votes.pair),
            f"{counted(n_people, 'annotator')}, {{:,}} labels on {n_labelled:,} pairs",
            "none; draw an audit and let people review it",
        ),
        _counted(
            "AI-human agreement",
            n_compared,
            "{:,} pairs have an AI verdict and a human label",
            "no pair has both an AI verdict and a human label",
        ),
        _counted(
            "human-human agreement, the ceiling",
            n_overlap,
            "{:,} pairs have labels of two people or more",
            "no pair has labels of two people; double-label 10-20% of the audit",
        ),
        _alt_test_check(votes.annotator[n_votes[votes.pair] >= 2], bool(annotations.judges)),
        _position_check(annotations),
        _counted(
            "calibration of p_a",
            int((~np.isnan(annotations.verdict_p_a) & labelled[annotations.verdict_pair]).sum()),
            "{:,} verdicts with p_a have a human label",
            "no verdict on a labelled pair gives p_a, the judge's probability for response_a",
        ),
    ]
    if features is not None:
        checks += _feature_checks(features, n_compared)
    n_prompts = len(np.unique(annotations.prompt))
    repeat = n_prompts < annotations.n_pairs
    said = (
        f"{counted(n_prompts, 'prompt')} in {annotations.n_pairs:,} pairs; "
        "intervals are clustered by prompt"
    )
    checks.append(Check("independent pairs", not repeat, said if repeat else "no prompt repeats"))
    return checks


def next_command(path: Path, annotations: Annotations) -> str:
    """The command to type now."""
    file = shlex.quote(str(path))
    if path.is_dir():
        if not len(annotations.verdict_pair):
            return f"workbench import FILE --project {file}   (a file with AI verdicts)"
        return f"workbench audit draw --project {file}"
    n_overlap = int((np.bincount(annotations.label_pair, minlength=1) >= 2).sum())
    if not len(annotations.verdict_pair) and not n_overlap:
        return f'add AI verdicts under "ai" in each row of {file}, then: workbench doctor {file}'
    if not len(annotations.label_pair):
        return f"workbench init audit && workbench import {file} --project audit"
    return f"workbench agreement {file}"


def check_machine(folder: Path) -> list[Check]:
    """Python, disk and extras of this machine, as seen from a folder."""
    version = sys.version_info
    tested = version[:2] == _TESTED_PYTHON
    python = f"{version.major}.{version.minor}.{version.micro}"
    free_gb = shutil.disk_usage(folder).free / 1e9
    room = free_gb >= _MIN_FREE_GB
    checks = [
        Check(
            "Python",
            True,
            f"{python}, the version that is tested"
            if tested
            else f"{python}, allowed but untested; 3.11 is the version that is tested",
        ),
        Check(
            "free disk",
            room,
            f"{free_gb:,.1f} GB at {folder}"
            + ("" if room else f"; less than {_MIN_FREE_GB:.0f} GB, free some before importing"),
        ),
    ]
    for extra, modules in _EXTRAS.items():
        missing = [module for module in modules if find_spec(module) is None]
        checks.append(
            Check(
                f"extra [{extra}]",
                not missing,
                "installed"
                if not missing
                else f"{', '.join(missing)} missing; pip install 'rlaif-workbench[{extra}]' "
                "when you need it",
            )
        )
    return checks


def check_project(folder: Path) -> list[Check]:
    """The project that a folder belongs to: its run file, its pairs, its database."""
    from pipelines.config import CONFIG_NAME
    from pipelines.errors import WorkbenchError
    from workbench.project import Project

    if not any((above / CONFIG_NAME).is_file() for above in (folder, *folder.parents)):
        return [
            Check(
                "project",
                True,
                "none here; `workbench init DIR` makes one (not needed to read files)",
            )
        ]
    try:
        project = Project.open(folder)
        n_pairs = len(project.store)
    except WorkbenchError as error:
        return [Check("project", False, str(error))]
    checks = [Check("project", True, f"{project.dir} with {n_pairs:,} pairs")]
    try:
        engine = project.engine.dialect.name
        checks.append(Check("database", True, f"{engine} answers, schema up to date"))
    except WorkbenchError as error:
        checks.append(Check("database", False, str(error)))
    return checks


def _counted(what: str, count: int, there: str, missing: str) -> Check:
    return Check(what, count > 0, there.format(count) if count else missing)


def _alt_test_check(annotator: IntArray, judged: bool) -> Check:
    n_items = np.bincount(annotator) if len(annotator) else np.zeros(1, dtype=np.int64)
    n_testable = int((n_items >= _MIN_ITEMS).sum())
    what = "alternative annotator test"
    if n_testable and judged:
        return Check(
            what, True, f"{counted(n_testable, 'annotator')} with {_MIN_ITEMS} shared pairs or more"
        )
    if not judged:
        return Check(what, False, "needs AI verdicts")
    return Check(what, False, f"no annotator shares {_MIN_ITEMS} labelled pairs with another one")


def _position_check(annotations: Annotations) -> Check:
    what = "position bias"
    both = []
    for verdicts in by_judge(annotations):
        ab, ba = labels_by_order(verdicts.pair, verdicts.order, verdicts.label, annotations.n_pairs)
        both.append(int(((ab != NONE) & (ba != NONE)).sum()))
    n_judges = sum(n > 0 for n in both)
    if not n_judges:
        return Check(what, False, "no judge saw a pair in both orders; judge each pair ab and ba")
    return Check(
        what, True, f"{counted(n_judges, 'judge')} saw up to {max(both):,} pairs in both orders"
    )


def _feature_checks(features: TextFeatures, n_compared: int) -> Sequence[Check]:
    n_uneven = features.n_pairs - features.n_equal_length
    length = n_uneven > 0 and n_compared > 0
    subsets = len(features.subsets)
    return [
        Check(
            "length bias",
            length,
            f"{n_uneven:,} pairs have responses of different length"
            if length
            else "needs responses of different length, AI verdicts and human labels",
        ),
        _counted(
            "self-preference",
            features.n_own_model,
            "in {:,} pairs a judge reads its own model's response",
            "no judge is one of the models named in model_a and model_b",
        ),
        _counted(
            "win rates",
            features.n_with_models,
            "{:,} pairs name both models",
            "no pair names both models (model_a, model_b)",
        ),
        Check(
            "slices by subset",
            subsets > 1,
            f"{subsets} subsets" if subsets > 1 else 'fewer than two values of "subset"',
        ),
        Check(
            "review by people",
            features.n_without_text < features.n_pairs,
            "the responses are there to read"
            if not features.n_without_text
            else f"{features.n_without_text:,} pairs have no text to read",
        ),
    ]

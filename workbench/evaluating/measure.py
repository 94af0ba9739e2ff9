"""From an evaluation's project to its result: what was said, counted. Asks nobody.

Beside the result it leaves every comparison and outcome that the numbers are made of.
"""

import time
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import func, select

from pipelines.agreement.annotations import NONE, FloatArray, IntArray
from pipelines.errors import BadInput
from pipelines.evaluate.alignment import labeler_alignment, reward_accuracy
from pipelines.evaluate.audited import AUDITED
from pipelines.evaluate.comparisons import Comparisons, read_comparisons, soft_scores
from pipelines.evaluate.lineage import Lineage, leaks, lineage_of, suspects
from pipelines.evaluate.matchups import judged_matchups
from pipelines.evaluate.outcomes import Outcome, changes_found, groups_found
from pipelines.evaluate.result import (
    AlignmentFound,
    EvaluationFound,
    LeakFound,
    PeopleFound,
    PolicyFound,
    SuiteFound,
)
from pipelines.evaluate.suites import Checked, outcomes_of_checks, outcomes_of_texts
from pipelines.evaluate.truth import true_rates
from pipelines.generate.reading import read_candidates
from pipelines.generate.records import Candidate, text_hash
from pipelines.judge.checks import checked_principles, violations_said
from pipelines.judge.template import load_template
from pipelines.preferences.combine import is_derived
from pipelines.provenance import git_revision, program_version
from pipelines.records import PreferencePair
from workbench.audit.design import RoundDesign
from workbench.audit.labels import read_prefix
from workbench.audit.rounds import read_design
from workbench.audit.standing import live_vote
from workbench.data_files import data_dir
from workbench.db.models import Round, Vote
from workbench.db.session import reading
from workbench.evaluating.examples import write_comparisons, write_outcomes
from workbench.project import Project

if TYPE_CHECKING:
    from workbench.evaluating.run import Plan, PlannedSuite

_SIMULATED = "simulated"
_SCORES = np.array([1.0, 0.0, 0.5, np.nan])  # of response_a, by label code; -1 is the last
CHANGED_SINCE = "its training data were exported anew since, so no pair is known to be held out"
SEEN_IN_TRAINING = "the prompt is in its training data"


def measure(planned: "Plan", project: Project) -> EvaluationFound:
    """Everything that responses, verdicts and people's labels say.

    Args:
        planned: What was asked for.
        project: The evaluation's project.
    """
    parent, confidence = planned.parent, planned.parent.config.evaluate.confidence
    names = [one.spec.name for one in planned.policies]
    candidates = [one for one in read_candidates(project.dir) if one.model in names]
    comparisons = read_comparisons(project.dir, project.store, names)
    annotations = project.store.annotations()
    human, people = human_scores(project)
    found_leaks, unknown = _leaks(planned)
    write_comparisons(
        planned.folder,
        comparisons,
        project.store.pair_ids(),
        {spec.name: soft_scores(annotations, spec.name) for spec in planned.judges},
        human,
    )
    judged = [
        judged_matchups(
            comparisons,
            annotations,
            spec.name,
            human,
            suspects(found_leaks, spec.name),
            confidence,
        )
        for spec in planned.judges
    ]
    truth = true_rates(candidates, names, confidence)
    return EvaluationFound(
        name=planned.name,
        created_at=time.time(),
        confidence=confidence,
        prompts=planned.prompts.source,
        n_prompts=len(planned.prompts.prompts),
        n_prompts_seen=_n_seen(planned),
        judges=tuple(spec.name for spec in planned.judges),
        policies=tuple(
            _policy(planned, k, candidates, comparisons) for k in range(len(planned.policies))
        ),
        people=people,
        matchups=tuple(
            one.model_copy(update={"truth": truth.get((one.first, one.second))})
            for each in judged
            for one in each.matchups
        ),
        rankings=tuple(each.ranking for each in judged if each.ranking is not None),
        leaks=found_leaks,
        unknown_data=unknown,
        suites=tuple(_suite(planned, one, project, confidence) for one in planned.suites),
        alignment=alignment(parent, parent.config.evaluate.reward_models, confidence),
        program={"version": program_version(), "git_revision": git_revision()},
    )


def human_scores(project: Project) -> tuple[FloatArray, PeopleFound | None]:
    """People's scores of response_a by row of the store, NaN where nobody was asked or answered.

    Of every round drawn uniformly from all pairs the labels of its answered prefix, first slots in
    draw order: a random part of the pairs, whoever labels fast. A later round's label of a pair
    stands. Pairs that everybody skipped are counted, since the others then stand for them too.
    """
    score = np.full(len(project.store), np.nan)
    skipped = np.zeros(len(project.store), dtype=np.bool_)
    n_drawn = n_simulated = 0
    who: set[int] = set()
    unused: list[str] = []
    with reading(project.engine) as session:
        for found in session.scalars(select(Round).order_by(Round.id)):
            if not _of_all_pairs(read_design(found)):
                unused.append(found.name)
                continue
            prefix = read_prefix(session, found.id, "main")
            n_drawn += prefix.n_drawn
            rows = project.store.rows_of(list(prefix.pair_id))
            known = (prefix.human != NONE) & (rows >= 0)
            score[rows[known]] = _SCORES[prefix.human[known]]
            skipped[rows[(prefix.human == NONE) & (rows >= 0)]] = True
            who |= set(prefix.annotator_id[known].tolist())
            n_simulated += (
                session.scalar(
                    select(func.count())
                    .select_from(Vote)
                    .where(
                        Vote.round_id == found.id,
                        Vote.origin == _SIMULATED,
                        Vote.counts,
                        live_vote(),
                    )
                )
                or 0
            )
    if not n_drawn and not unused:
        return score, None
    return score, PeopleFound(
        n_labels=int((~np.isnan(score)).sum()),
        n_pairs_drawn=n_drawn,
        n_simulated=n_simulated,
        annotators=len(who),
        n_skipped=int((skipped & np.isnan(score)).sum()),
        rounds_unused=tuple(unused),
    )


def _of_all_pairs(design: RoundDesign) -> bool:
    """Whether a round's labels stand for all pairs, and not for those that a judge is sure of."""
    return design.mode == "uniform" and (
        design.label == AUDITED or not any(one.excluded for one in design.strata)
    )


def alignment(
    parent: Project, reward_models: tuple[str, ...], confidence: float
) -> tuple[AlignmentFound, ...]:
    """Labeler alignment of the project's judges, and accuracy of reward models, on its own pairs.

    Nothing where nobody has labelled a pair.
    """
    from workbench.audit.human_side import human_side

    if not len(parent.store):
        return ()
    annotations = parent.store.annotations()
    try:
        human: IntArray = human_side(parent, annotations, None).reference
    except BadInput:  # nobody has labelled a pair
        return ()
    found = [
        labeler_alignment(
            judge, soft_scores(annotations, judge), human, annotations.prompt, confidence
        )
        for judge in annotations.judges
        if not is_derived(judge)
    ]
    rows = np.flatnonzero(human != NONE)
    for name in reward_models:
        found.append(_reward_model(parent, name, rows, human, annotations.prompt, confidence))
    return tuple(found)


def _reward_model(
    parent: Project,
    name: str,
    rows: IntArray,
    human: IntArray,
    prompt: IntArray,
    confidence: float,
) -> AlignmentFound:
    """Accuracy on the labelled pairs whose prompts the reward model was not trained on."""
    from workbench.evaluating.rewards import rewards_of, trained_on

    folder = parent.dir / "runs" / "train" / name
    pairs = parent.store.pairs(rows.tolist())
    seen = trained_on(folder, parent.dir)
    if seen is None:
        unknown = {CHANGED_SINCE: len(pairs)}
        return AlignmentFound(
            kind="reward-model accuracy", name=name, accuracy=None, n_ties=0, n_left_out=unknown
        )
    fresh = [k for k, pair in enumerate(pairs) if _prompt_key(pair) not in seen]
    reward_a, reward_b = rewards_of(folder, [pairs[k] for k in fresh])
    n_seen = len(pairs) - len(fresh)
    return reward_accuracy(
        name,
        reward_a,
        reward_b,
        human[rows[fresh]],
        prompt[rows[fresh]],
        {SEEN_IN_TRAINING: n_seen} if n_seen else {},
        confidence,
    )


def _prompt_key(pair: PreferencePair) -> str:
    if isinstance(pair.prompt, str):
        return pair.prompt
    return "\n".join(turn.content for turn in pair.prompt)


def _policy(
    planned: "Plan", k: int, candidates: list[Candidate], comparisons: Comparisons
) -> PolicyFound:
    policy = planned.policies[k]
    mine = [one for one in candidates if one.model == policy.spec.name]
    sound = [len(one.response or "") for one in mine if one.failure is None]
    return PolicyFound(
        name=policy.spec.name,
        model=policy.model,
        run=None if policy.run is None else policy.run.name,
        n_responses=len(mine),
        failed=comparisons.failed[policy.spec.name],
        mean_chars=float(np.mean(sound)) if sound else None,
    )


def _n_seen(planned: "Plan") -> int:
    """Prompts of the evaluation that stand in the project's own pairs too."""
    wanted = {one.text_hash() for one in planned.prompts.prompts}
    if not len(planned.parent.store):
        return 0
    return len(wanted & {text_hash(pair.prompt) for pair in planned.parent.store.iter_pairs()})


def _leaks(planned: "Plan") -> tuple[tuple[LeakFound, ...], tuple[str, ...]]:
    """Judges that had a hand in what they judge, and runs whose data say nothing of theirs."""
    lineages: dict[str, Lineage] = {
        one.spec.name: lineage_of(one.run, planned.parent.dir)
        for one in planned.policies
        if one.run is not None
    }
    found = leaks(
        {one.spec.name: one.model for one in planned.policies},
        lineages,
        {spec.name: spec.model for spec in planned.judges},
        {spec.name: spec.model for spec in planned.parent.config.judges},
    )
    unknown = dict.fromkeys(run for one in lineages.values() for run in one.unknown)
    return found, tuple(unknown)


def _suite(planned: "Plan", one: "PlannedSuite", project: Project, confidence: float) -> SuiteFound:
    own = project
    if one.prompts is not None:
        own = Project.open(planned.folder / "suites" / one.name)
    outcomes, left_out = suite_outcomes(one, own, [spec.name for spec in planned.checkers])
    write_outcomes(planned.folder, one.name, outcomes)
    names = [policy.spec.name for policy in planned.policies]
    prompts = one.prompts or planned.prompts
    return SuiteFound(
        name=one.name,
        title=one.suite.title,
        about=one.suite.about,
        share_of=one.suite.share_of,
        by=one.suite.by,
        lower_is_better=one.suite.lower_is_better,
        how=_HOW[one.suite.measure],
        n_prompts=len(prompts.prompts),
        n_left_out=left_out,
        groups=groups_found(outcomes, names, confidence),
        changes=changes_found(outcomes, names, confidence),
    )


_HOW = {
    "answers": "by the response's words",
    "refuses": "by the response's words",
    "check": "by the judge of mode check",
    "sandbox": "by the sandbox's own rules",
}


def suite_outcomes(
    one: "PlannedSuite", project: Project, checkers: list[str]
) -> tuple[list[Outcome], dict[str, int]]:
    """The outcome of every response of a suite, and why some have none.

    Args:
        one: The suite.
        project: Where its responses are.
        checkers: The judges of mode check; the first that has verdicts here decides.
    """
    left_out: dict[str, int] = {}
    names = [spec.name for spec in project.config.models]
    candidates = (each for each in read_candidates(project.dir) if each.model in names)
    if one.suite.measure != "check":
        return outcomes_of_texts(one.suite, candidates, left_out), left_out
    return outcomes_of_checks(
        one.suite, candidates, _checked(project, checkers), left_out
    ), left_out


def _checked(project: Project, checkers: list[str]) -> Checked:
    stored = {file.judge for file in project.store.manifest().judged}
    for spec in project.config.judges:
        if spec.name not in checkers or spec.name not in stored:
            continue
        template = load_template(spec, (project.dir, data_dir()))
        checked = Checked([each.id for each in checked_principles(spec, template)])
        said = {
            row: found
            for row, raw in project.store.said_by(spec.name)
            if (found := violations_said(raw)) is not None
        }
        rows = list(said)
        for row, pair in zip(rows, project.store.pairs(rows), strict=True):
            checked.add(pair, said[row])
        return checked
    return Checked([])

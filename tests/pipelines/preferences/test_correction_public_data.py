"""Judge correction where people are the audit: a judge among judges gains, alone it need not."""

import numpy as np

from pipelines.agreement.reference import votes_of
from pipelines.formats.reading import read_pairs
from pipelines.preferences.annotations import AnnotationsBuilder
from pipelines.preferences.audited import Audited
from pipelines.preferences.combine import combine
from pipelines.preferences.correction import learn_correction
from pipelines.preferences.curate import ai_soft_label, majority, vote_counts


def test_pandalm_7b_is_corrected_with_the_help_of_the_other_judge(shared_data):
    pairs = list(read_pairs(shared_data / "pandalm.jsonl"))
    builder = AnnotationsBuilder()
    for pair in pairs:
        builder.add(pair)
    annotations = builder.build()
    votes = votes_of(annotations)
    counted = vote_counts(len(pairs), votes.pair, votes.label)
    label = majority(counted)
    combined = combine(annotations, "pandalm-7b")
    soft = ai_soft_label(combined.label, combined.p_a)
    row = np.flatnonzero(~np.isnan(soft))
    human = np.array([1.0, 0.0, 0.5])[label[row]]
    audited = Audited(
        row, human, np.ones(len(row)), np.zeros(len(row), dtype=bool), annotations.prompt[row]
    )
    made = learn_correction(
        [pairs[k] for k in row.tolist()], soft[row], audited, np.random.default_rng(0)
    )
    assert made.applied
    assert made.over_judge.accuracy_gain.low > 0.0
    assert made.over_no_judge.accuracy_gain.low > 0.0  # the judges know more than the texts

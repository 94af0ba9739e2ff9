import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.agreement.estimate import Estimate
from pipelines.agreement.intervals import wilson
from pipelines.agreement.latent import latent_split, rogan_gladen, rogan_gladen_point
from pipelines.errors import BadInput, Undefined


def exactly(share):
    return Estimate(share, share, share, "given", 100)


def test_the_latent_split_of_the_worked_example():
    split = latent_split(0.82, 0.82)
    assert math.isclose(split.ai, 0.90)
    assert math.isclose(split.human, 0.90)


@given(st.floats(0.55, 1.0), st.floats(0.0, 1.0))
def test_the_split_inverts_the_agreements_it_explains(human, ai):
    split = latent_split(
        ai * human + (1 - ai) * (1 - human), human * human + (1 - human) * (1 - human)
    )
    assert math.isclose(split.human, human, abs_tol=1e-6)
    assert math.isclose(split.ai, ai, abs_tol=1e-5)


def test_agreements_that_no_accuracy_explains_are_undefined():
    with pytest.raises(Undefined, match="no more than by chance"):
        latent_split(0.8, 0.5)
    with pytest.raises(Undefined, match="independent errors"):
        latent_split(0.95, 0.6)
    with pytest.raises(BadInput):
        latent_split(1.2, 0.8)


def test_rogan_gladen_of_the_worked_example():
    assert round(rogan_gladen_point(0.40, 0.90, 0.80), 6) == 0.285714
    assert round(rogan_gladen(exactly(0.4), exactly(0.9), exactly(0.8)).estimate, 6) == 0.285714
    with pytest.raises(Undefined):
        rogan_gladen_point(0.4, 0.5, 0.5)


def test_rogan_gladens_interval_covers_95_percent():
    rng = np.random.default_rng(0)
    prevalence, sensitivity, specificity = 0.4, 0.85, 0.9
    apparent = prevalence * sensitivity + (1 - prevalence) * (1 - specificity)
    hits = []
    for _ in range(800):
        interval = rogan_gladen(
            wilson(int(rng.binomial(2000, apparent)), 2000),
            wilson(int(rng.binomial(200, sensitivity)), 200),
            wilson(int(rng.binomial(300, specificity)), 300),
        )
        hits.append(interval.low <= prevalence <= interval.high)
    assert 0.93 <= np.mean(hits) <= 0.97

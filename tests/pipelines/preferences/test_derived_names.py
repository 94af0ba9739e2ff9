"""Labels made with people's answers are never taken for an original judge's."""

import pytest

from pipelines.preferences import correction, recalibrate
from pipelines.preferences.annotations import AnnotationsBuilder
from pipelines.preferences.combine import combine, is_derived
from pipelines.records import Judgment, PreferencePair


@pytest.mark.parametrize("suffix", [correction.SUFFIX, recalibrate.SUFFIX])
def test_a_rule_over_judges_leaves_corrected_labels_out(suffix):
    assert is_derived(f"sol{suffix}")
    assert not is_derived("sol")
    builder = AnnotationsBuilder()
    builder.add(
        PreferencePair(
            prompt="q",
            response_a="a",
            response_b="b",
            ai=(Judgment(judge="sol", p_a=0.4), Judgment(judge=f"sol{suffix}", p_a=0.99)),
        )
    )
    assert combine(builder.build(), "mean").p_a[0] == pytest.approx(0.4)

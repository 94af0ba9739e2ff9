"""The charts of a round say what its gate says."""

import numpy as np

from pipelines.agreement.gate import Gate, gate_path, read_gate
from workbench.app.charts import gate_figure


def test_agreement_meets_the_dotted_line_at_the_label_that_decides() -> None:
    gate = Gate(ties="strict")
    codes = (np.random.default_rng(3).random(600) < 0.88).astype(int)
    path, reading = gate_path(gate, codes, 20_000, max_points=600), read_gate(gate, codes, 20_000)
    assert reading.decision == "TRUST"
    figure = gate_figure(path, gate, reading.n_labels)
    line = next(np.array(one.y) for one in figure.data if one.name == "decides TRUST")
    reached = path.estimate >= line  # never where no agreement would do: the line is NaN there
    assert path.t[reached][0] == reading.n_labels

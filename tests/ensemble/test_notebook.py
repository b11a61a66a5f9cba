"""In a notebook progress is shown in its page: by a widget, or by text without one."""

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow  # a kernel starts and compiles

WIDGET = "application/vnd.jupyter.widget-view+json"
NO_WIDGETS = """
import sys
sys.modules["ipywidgets"] = None
"""
SETUP = """
import jax, nnft_ppl as nnft
net, key = nnft.network("erf-net", width=5, input_dim=1), jax.random.key(0)
"""
MEASURE = """
nnft.measure_correlators(net, [-1.0, 0.3], (2, 4), num_draws=300_000, key=key,
                         progress=True);
"""
FIT = """
data = nnft.exact_correlators(net, [-1.0, 0.3], (2, 4))
nnft.fit_couplings(data, nnft.Action(["lambda_0"]), [10.0], key=key, num_warmup=30,
                   num_samples=70, num_chains=1, progress=True);
"""


def executed(*cells):
    """Outputs of all cells, and the states of all widgets by model."""
    notebook = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, cells)])
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    stored = notebook.metadata.get("widgets", {}).values()
    states = {key: m["state"] for s in stored for key, m in s["state"].items()}
    return [cell.outputs for cell in notebook.cells], states


def bars(outputs, states):
    """State of the bar and the text beside it, of each box that is shown."""
    for output in outputs:
        box = states[output.data[WIDGET]["model_id"]]
        yield [states[child.removeprefix("IPY_MODEL_")] for child in box["children"]]


def test_a_measurement_and_a_fit_show_widgets_with_their_totals():
    (_, measured, fitted), states = executed(SETUP, MEASURE, FIT)
    for outputs, total, text in (
        (measured, 300_000, "conditional 300k/300k,"),
        (fitted, 100, "NUTS 100/100,"),
    ):
        ((_, bar, beside),) = bars(outputs, states)
        assert bar["max"] == total
        assert bar["value"] == total
        assert bar["bar_style"] == "success"
        assert beside["value"].replace("\u2007", " ").strip().startswith(text)


def test_without_widgets_the_bar_is_of_text():
    (_, measured), states = executed(NO_WIDGETS + SETUP, MEASURE)
    assert {output.name for output in measured} == {"stderr"}
    shown = "".join(output.text for output in measured)
    assert "100%|██████████| conditional 300k/300k," in shown
    assert not states

"""The figures of a study: deviation from the GP, couplings, predictions, evidence.

In: `Correlators`, `CouplingFit`, `Posterior` and what compares these. Out: Matplotlib
figures that belong to no window and no global state, so that there is nothing to close.
Every function takes `ax`, to draw on axes of yours instead of a new figure, and keeps
what you have set in Matplotlib's `rcParams`.
"""

from nnft_ppl.plots.couplings import plot_couplings as plot_couplings
from nnft_ppl.plots.deviation import plot_deviation as plot_deviation
from nnft_ppl.plots.evidence import plot_evidence as plot_evidence
from nnft_ppl.plots.evidence import plot_weights as plot_weights
from nnft_ppl.plots.files import pdf as pdf
from nnft_ppl.plots.files import png as png
from nnft_ppl.plots.files import svg as svg
from nnft_ppl.plots.prediction import plot_prediction as plot_prediction
from nnft_ppl.plots.predictive import plot_predictive as plot_predictive
from nnft_ppl.plots.running import plot_running as plot_running

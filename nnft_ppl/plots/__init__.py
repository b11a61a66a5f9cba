"""The figures of a study: one function each, and files of them.

In: `Correlators`, `CouplingFit`, `Posterior` and what compares these. Out: Matplotlib
figures that belong to no window and no global state, so that there is nothing to close.
Every function takes `ax`, to draw on axes of yours instead of a new figure, but for
`plot_corner`, which is ArviZ's; all keep what you have set in Matplotlib's `rcParams`.
docs/figures.md lists them.
"""

from nnft_ppl.plots.calibration import plot_coverage as plot_coverage
from nnft_ppl.plots.calibration import plot_ranks as plot_ranks
from nnft_ppl.plots.comparison import plot_comparison as plot_comparison
from nnft_ppl.plots.corner import plot_corner as plot_corner
from nnft_ppl.plots.couplings import plot_couplings as plot_couplings
from nnft_ppl.plots.deviation import plot_deviation as plot_deviation
from nnft_ppl.plots.draws import plot_draws as plot_draws
from nnft_ppl.plots.evidence import plot_evidence as plot_evidence
from nnft_ppl.plots.evidence import plot_weights as plot_weights
from nnft_ppl.plots.falloff import plot_falloff as plot_falloff
from nnft_ppl.plots.files import pdf as pdf
from nnft_ppl.plots.files import png as png
from nnft_ppl.plots.files import svg as svg
from nnft_ppl.plots.forest import plot_forest as plot_forest
from nnft_ppl.plots.noise import plot_correlation as plot_correlation
from nnft_ppl.plots.prediction import plot_prediction as plot_prediction
from nnft_ppl.plots.predictive import plot_predictive as plot_predictive
from nnft_ppl.plots.pulls import plot_pulls as plot_pulls
from nnft_ppl.plots.running import plot_running as plot_running
from nnft_ppl.plots.training import plot_training as plot_training

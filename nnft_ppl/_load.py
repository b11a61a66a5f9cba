"""Reading back whatever nnft_ppl saved."""

from collections.abc import Callable
from pathlib import Path

import xarray as xr

from nnft_ppl import store
from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl.bayes.comparison import PosteriorComparison
from nnft_ppl.bayes.evidence import EvidenceCurve
from nnft_ppl.bayes.result import Posterior
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.ensemble.sample import Ensemble
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.law.result import RunningFit
from nnft_ppl.inference.outputs.result import FunctionSpaceFit
from nnft_ppl.training.measured_tangent_kernel import MeasuredTangentKernel
from nnft_ppl.training.result import TrainedEnsemble
from nnft_ppl.training.verdict import TrainingByWidth

type Saved = (
    Ensemble
    | Correlators
    | CouplingFit
    | FunctionSpaceFit
    | RunningFit
    | Posterior
    | MeasuredTangentKernel
    | TrainedEnsemble
    | TrainingByWidth
    | PosteriorComparison
    | EvidenceCurve
)

_KINDS: dict[str, Callable[[xr.DataTree, Network | None], Saved]] = {
    "ensemble": Ensemble.from_data,
    "correlators": Correlators.from_data,
    "fit": CouplingFit.from_data,
    "function_space_fit": FunctionSpaceFit.from_data,
    "running_fit": RunningFit.from_data,
    "posterior": Posterior.from_data,
    "tangent_kernel": MeasuredTangentKernel.from_data,
    "trained_ensemble": TrainedEnsemble.from_data,
    "training_by_width": TrainingByWidth.from_data,
    "posterior_comparison": PosteriorComparison.from_data,
    "evidence_curve": EvidenceCurve.from_data,
}

_OVER_CORRELATORS = ("fit", "running_fit")
"""Kinds whose files hold the correlators, which their `data` does not."""


def load(path: str | Path, *, network: Network | None = None) -> Saved:
    """The object that was saved at `path`.

    Args:
        path: A file that `save` wrote.
        network: The network of the object, where no installed plugin supplies it: a
            file holds its name and hyperparameters, and of a network that no plugin
            supplies a few values of one draw; no code. They must agree.

    Raises:
        SpecError: No such file, damaged, being written, or not of nnft_ppl, or it holds
            the `data` of a fit; or `network` is not the one in the file, or is needed;
            or the architecture or the operators now installed under these names are
            not those of the file.
        PluginError: A plugin it needs is not installed.
        StorageError: The file cannot be read, whatever is in it.

    Warns:
        UncheckedFileWarning: An earlier version wrote the file, or xarray, without the
            seal that tells whether it is as it was written.
        UncheckedNetworkWarning: The file is an older one and holds no such values.
    """
    tree = store.read(path)
    with store.as_input(path):
        holds = store.metadata(tree)["holds"]
        if holds not in _KINDS:
            raise SpecError(
                f"{str(path)!r} holds {holds!r}; expected one of {list(_KINDS)}"
            )
        if holds in _OVER_CORRELATORS and "correlators" not in tree.children:
            raise SpecError(
                f"{str(path)!r} holds what ArviZ reads of a fit, its `data`, and not "
                "the fit; write it with fit.save(path) to have it back, or read these "
                "data with xarray.open_datatree"
            )
        return _KINDS[holds](tree, network)

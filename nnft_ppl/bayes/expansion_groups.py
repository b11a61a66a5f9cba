"""An `Expansion` as variables of a file, and back."""

import numpy as np
import xarray as xr

from nnft_ppl import store
from nnft_ppl.bayes.first_order import Expansion, Moments

_DIMS = {
    "log_evidence": (),
    "mean": ("new_point", "output"),
    "covariance": ("output", "new_point", "other_point"),
}
_PARTS = ("gaussian", "correction", "error")


def expansion_dataset(expansion: Expansion) -> xr.Dataset:
    """The moments of each part, `gaussian_mean` say, with what else there is."""
    return xr.Dataset(
        {
            f"{part}_{name}": (_DIMS[name], np.asarray(values))
            for part in _PARTS
            for name, values in getattr(expansion, part)._asdict().items()
        }
        | {"spread": expansion.spread},
        attrs={"source": expansion.source},
    )


def expansion_from(tree: xr.DataTree) -> Expansion:
    """What `expansion_dataset` was made of.

    Raises:
        SpecError: The group lacks a variable.
    """
    parts = {
        part: Moments(*(store.array(tree, f"{part}_{name}") for name in _DIMS))
        for part in _PARTS
    }
    return Expansion(
        source=str(tree.attrs["source"]),
        spread=float(store.array(tree, "spread")),
        **parts,
    )

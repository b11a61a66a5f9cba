"""`Numbers`: what is written out, whatever the format."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nnft_ppl._arguments import check_kind
from nnft_ppl._network import Network
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.inference.couplings.result import CouplingFit

type Label = str | int | float

COUPLINGS, CORRELATORS = "couplings", "connected correlators"


@dataclass(frozen=True, eq=False)
class Block:
    """Numbers that have one covariance.

    Attributes:
        labels: Of each number, a value for each of the `Numbers`' columns.
        values: (number,) float64.
        covariance: (number, number) float64.
    """

    labels: tuple[tuple[Label, ...], ...]
    values: Float[np.ndarray, " number"]
    covariance: Float[np.ndarray, "number number"]

    @property
    def errors(self) -> Float[np.ndarray, " number"]:
        """(number,) one standard deviation."""
        # A singular covariance rounds to either side of zero.
        return np.asarray(np.sqrt(np.maximum(np.diag(self.covariance), 0.0)))

    @property
    def correlation(self) -> Float[np.ndarray, "number number"]:
        """(number, number), symmetric; zeros beside numbers that have no error."""
        errors = self.errors
        scale = np.where(errors > 0, errors, 1.0)
        # Products of matrices are symmetric but for rounding.
        even = (self.covariance + self.covariance.T) / 2
        found: np.ndarray = even / np.outer(scale, scale)
        np.fill_diagonal(found, 1.0)
        return found


@dataclass(frozen=True, eq=False)
class Numbers:
    """Couplings of a fit, or the connected correlators of a network.

    Attributes:
        holds: `couplings` or `connected correlators`.
        network: What they belong to.
        columns: What a label says: cutoff and operator, or order and legs.
        blocks: Couplings have one a cutoff: the fits at two cutoffs are of the same
            data, so that a covariance between them would say nothing. Correlators have
            one block with all orders.
    """

    holds: str
    network: Network
    columns: tuple[str, ...]
    blocks: tuple[Block, ...]


def numbers_of(found: CouplingFit | Correlators) -> Numbers:
    """The numbers of a result.

    Couplings g: mean and covariance of the posterior draws, dimension as the operator
    has it. Correlators: connected, with the joint covariance of all orders, zero where
    they are exact; legs are numbers of `Correlators.legs`, from 0.

    Raises:
        SpecError: It is neither.
    """
    if isinstance(found, Correlators):
        return _of_correlators(found)
    check_kind(
        "found", found, CouplingFit, "nnft_ppl.CouplingFit or nnft_ppl.Correlators"
    )
    couplings = found.dimensionless / found.likelihood.scale
    blocks = []
    for which, cutoff in enumerate(found.cutoffs):
        draws = couplings[:, :, which].reshape(-1, len(found.action.names))
        blocks.append(
            Block(
                labels=tuple((float(cutoff), name) for name in found.action.names),
                values=draws.mean(axis=0),
                covariance=np.atleast_2d(np.cov(draws, rowvar=False)),
            )
        )
    return Numbers(
        holds=COUPLINGS,
        network=found.correlators.network,
        columns=("cutoff", "operator"),
        blocks=tuple(blocks),
    )


def _of_correlators(found: Correlators) -> Numbers:
    labels = tuple(
        (order, " ".join(map(str, entry)))
        for order in found.orders
        for entry in found.entries(order).tolist()
    )
    return Numbers(
        holds=CORRELATORS,
        network=found.network,
        columns=("order", "legs"),
        blocks=(
            Block(
                labels=labels,
                values=np.concatenate([found.connected(k) for k in found.orders]),
                covariance=np.zeros((len(labels),) * 2)
                if found.is_exact
                else found.joint_covariance,
            ),
        ),
    )


def plain_label(label: Label) -> Label:
    """As JSON and CSV have it: an infinite cutoff is `inf`, as in study files."""
    infinite = isinstance(label, float) and math.isinf(label)
    return "inf" if infinite else label

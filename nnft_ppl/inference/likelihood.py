"""The correlator likelihood: measured correlators meet the action's predictions here.

Ĝ = Σ_i c_i a_i + misfit + noise, per cutoff. c_i are dimensionless couplings, a_i the
design columns scaled to the size of the Gaussian moment. In units of the natural size
of each entry, and in modes in which the noise is independent, the same at every cutoff,
these are the numbers that `least_squares` reduces to what samplers see (theory.md §6).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import FitError, SpecError, UnavailableError
from nnft_ppl._rms import rms
from nnft_ppl._typing import Packed
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.deep.recursion import recursion_error
from nnft_ppl.correlators.legs import check_single_output
from nnft_ppl.correlators.origin import FIRST_ORDER
from nnft_ppl.correlators.symmetric import entry_size
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.expansion import DesignMatrix, Expansion, coupling_scale, expand
from nnft_ppl.inference.covariance import (
    common_factor,
    gaussian_models,
    no_noise,
    noise_modes,
)
from nnft_ppl.inference.measured_propagator import measured_error
from nnft_ppl.inference.own_propagator import (
    covariance_of_difference,
    has_own_propagator,
)
from nnft_ppl.inference.propagator_error import error_from_kernel

_EXACT_FLOOR = 1e-9
"""Relative precision granted to exact correlators and integrals."""
_INTEGRAL_LIMIT = 1e-3
"""Relative error of a cutoff integral beyond which a fit would be meaningless."""
_TREE_LIMIT = 3e-2
"""The same of second-order trees, which are corrections."""


@dataclass(frozen=True, eq=False)
class Likelihood:
    """Data, noise and responses at every cutoff, in natural units and modes.

    Attributes:
        orders: Orders of the connected correlators in the data, concatenated.
        num_entries: Entries of each order.
        size: (entry,) natural size D of each entry: Π_i √K_W(x_i, x_i) times the ratio
            of root mean squares, so that s is the relative root-mean-square misfit.
        rotation: (entry, mode) orthogonal, with zero rows for entries where the field
            vanishes; modes = rotationᵀ (data / size).
        amplitudes: (mode,) data in modes.
        noise: (mode,) variance of each mode from sampling, or from what an expansion
            leaves out.
        rounding: (mode,) the same from rounding and from the integrals.
        variance: (mode,) of both, and no less than can be told from batches: what a
            mode by itself is judged by.
        relative_noise: Root mean square over entries of sampling error over size.
        resolved: (mode,) whether sampling noise exceeds rounding in that mode.
        design: (cutoff, mode, operator) response to dimensionless couplings.
        quadratic: (cutoff, mode, operator, operator) response to products c_i c_j: the
            trees of two quartic vertices in the 6-pt function; `None` where there are
            none, and the problem is linear.
        scale: (cutoff, operator) c = g · scale.
        error_from_kernel: (cutoff, operator) relative error of the couplings from
            that of the kernel; see `propagator_error`.
    """

    orders: tuple[int, ...]
    num_entries: tuple[int, ...]
    size: Packed
    rotation: Float[np.ndarray, "entry mode"]
    amplitudes: Float[np.ndarray, " mode"]
    noise: Float[np.ndarray, " mode"]
    rounding: Float[np.ndarray, " mode"]
    variance: Float[np.ndarray, " mode"]
    relative_noise: float
    resolved: np.ndarray
    design: Float[np.ndarray, "cutoff mode operator"]
    quadratic: Float[np.ndarray, "cutoff mode operator operator"] | None
    scale: Float[np.ndarray, "cutoff operator"]
    error_from_kernel: Float[np.ndarray, "cutoff operator"] | float = 0.0

    @property
    def spans(self) -> list[slice]:
        """Where the entries of each order lie."""
        ends = np.cumsum(self.num_entries)
        return [slice(e - n, e) for e, n in zip(ends, self.num_entries, strict=True)]

    @property
    def has_odd_orders(self) -> bool:
        """Whether an odd connected function is among the data."""
        return any(order % 2 for order in self.orders)

    def expected(self, cutoff: int, couplings: np.ndarray) -> np.ndarray:
        """Data modes (…, mode) that couplings c (…, operator) predict at one cutoff."""
        linear = couplings @ self.design[cutoff].T
        if self.quadratic is None:
            return np.asarray(linear)
        tensor = self.quadratic[cutoff]
        return np.asarray(
            linear
            + np.einsum(
                "...i,...j,mij->...m", couplings, couplings, tensor, optimize=True
            )
        )

    def response(self, cutoff: int, couplings: np.ndarray) -> np.ndarray:
        """(mode, operator) derivative of `expected` at couplings c (operator,)."""
        if self.quadratic is None:
            return np.asarray(self.design[cutoff])
        return np.asarray(self.design[cutoff] + 2 * self.quadratic[cutoff] @ couplings)

    @property
    def is_linear(self) -> bool:
        """Whether predictions are linear in the couplings."""
        return self.quadratic is None

    def to_entries(self, modes: np.ndarray) -> np.ndarray:
        """(…, mode) in natural units -> (…, entry) connected correlators."""
        return np.asarray((modes @ self.rotation.T) * self.size)


def build_likelihood(
    correlators: Correlators,
    action: Action,
    cutoffs: tuple[float, ...],
    expansion: Expansion | None = None,
) -> Likelihood:
    """Assemble the likelihood of `action` at every cutoff.

    Args:
        correlators: Measured or exact.
        action: The operators.
        cutoffs: Of the measure.
        expansion: That of these inputs and cutoffs, where it is known already.

    Raises:
        SpecError: The correlators lack an order that the action needs, a correlator
            vanishes identically, or a cutoff is unusable.
        UnavailableError: The architecture gives no kernel.
        FitError: A cutoff integral did not converge, or the kernel's error is large.
    """
    _check_data(correlators, action)
    network, x = correlators.network, correlators.x
    if expansion is None:
        expansion = expand(action, network, x, np.array(cutoffs), action.orders)
    integral_error = max(
        _integral_error(action, cutoffs, expansion.linear[order])
        for order in action.orders
    )
    propagator = network.propagator(x)
    sizes = {}
    for order in action.orders:
        natural = entry_size(np.diag(propagator), order)
        sizes[order] = natural * rms(correlators.connected(order)) / rms(natural)
    size = np.concatenate(list(sizes.values()))
    alive = size > 0  # a field that is zero at an input carries no data there
    scale = coupling_scale(action, cutoffs, expansion.linear, propagator)
    design, quadratic = _natural_units(expansion, action.orders, scale)
    design = design[:, alive] / size[alive, None]
    data, rounding = (
        np.concatenate([part[k] for k in action.orders])[alive] / size[alive]
        for part in (correlators.connected_values, correlators.numerical_error)
    )
    left_out = None
    if correlators.origin is FIRST_ORDER:
        known = recursion_error(correlators)
        left_out = np.concatenate([known[k] for k in action.orders])
        # The quadrature's alone: entries share what the expansion leaves out.
        rounding = np.maximum(rounding - left_out[alive] / size[alive], 0.0)
    floor = np.full(
        len(data), max(_EXACT_FLOOR, float(rounding.max()), integral_error) ** 2
    )
    responses = list(design)
    if quadratic is not None:
        quadratic = quadratic[:, alive] / size[alive, None, None]
        responses += [tensor.reshape(len(tensor), -1) for tensor in quadratic]
        tree_error = _tree_error(action, cutoffs, expansion)
        floor = np.maximum(floor, tree_error[alive] ** 2)
    if left_out is not None:
        modes = common_factor(data, rms(left_out[alive] / size[alive]))
    elif correlators.is_exact:
        modes = no_noise(len(data))
    else:
        covariance = correlators.joint_block(action.orders)
        if has_own_propagator(correlators):
            covariance = covariance_of_difference(
                correlators, action, cutoffs, _least_squares(design, data) / scale
            )
        covariance = covariance[np.ix_(alive, alive)]
        modes = noise_modes(
            covariance / np.outer(size[alive], size[alive]),
            correlators.num_batches,
            gaussian_models(propagator, sizes),
            np.concatenate(responses, axis=1),
        )
    if network.kernel_draws is not None:
        couplings = _least_squares(design, data) / scale
        factors = measured_error(network, action, x, cutoffs, couplings)
        factors = factors[:, alive] / size[alive, None]
        modes = modes.plus(factors[np.sum(factors**2, axis=(1, 2)).argmax()])
    within = modes.rotation
    numerical = floor @ within**2  # errors of entries as independent
    floor = numerical + modes.rounding
    rotation = np.zeros((len(size), len(data)))
    rotation[alive] = within
    if quadratic is not None:
        quadratic = np.einsum("em,ceij->cmij", within, quadratic)
    return Likelihood(
        orders=action.orders,
        num_entries=tuple(len(part) for part in sizes.values()),
        size=size,
        rotation=rotation,
        amplitudes=data @ within,
        noise=modes.variance,
        rounding=numerical,
        variance=modes.variance + floor,
        relative_noise=modes.relative_noise,
        resolved=modes.variance > floor,
        design=np.einsum("em,ceo->cmo", within, design),
        quadratic=quadratic,
        scale=scale,
        error_from_kernel=(
            error_from_kernel(expansion, action, cutoffs)
            if network.kernel_draws is None
            else np.zeros(scale.shape)  # it is in the noise
        ),
    )


def _least_squares(
    design: Float[np.ndarray, "cutoff entry operator"], data: Packed
) -> Float[np.ndarray, "cutoff operator"]:
    """Dimensionless couplings at every cutoff, all entries alike."""
    return np.array(
        [np.linalg.lstsq(columns, data, rcond=None)[0] for columns in design]
    )


def _check_data(correlators: Correlators, action: Action) -> None:
    """Refuse data that the action cannot be fitted to."""
    check_single_output(correlators)
    two = [o.name for o in action.operators if o.num_fields == 2]
    if two:
        raise SpecError(
            f"operators {two} have two fields and so shift the 2-pt function, which "
            "the theory takes from the kernel (G2 = K at every width); no data "
            "determine their couplings: leave them out"
        )
    missing = [k for k in action.orders if k not in correlators.orders]
    if missing:
        raise SpecError(
            f"{action!r} needs connected correlators of order {missing}; the "
            f"correlators hold {correlators.orders}: measure with "
            f"orders={tuple(sorted({*correlators.orders, *action.orders}))}"
        )
    network = correlators.network
    if not network.has_kernel:
        raise UnavailableError(
            f"{network.unknown_kernel}, and the diagrams of the effective theory need "
            "it between the inputs and every point of the measure; give the "
            "architecture a kernel, or measure the correlators of "
            "nnft_ppl.measured_kernel(network, num_draws, key=...)"
        )
    for order in action.orders:
        if not rms(correlators.connected(order)) > 0:
            raise SpecError(
                f"every connected {order}-pt correlator is zero; there is no coupling "
                "to infer"
            )


def _natural_units(
    expansion: Expansion, orders: tuple[int, ...], scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Responses to dimensionless couplings, all orders joined: linear and quadratic."""
    linear = np.concatenate([expansion.linear[k].values for k in orders], axis=1)
    linear = linear / scale[:, None, :]
    if not expansion.trees:
        return linear, None
    number = scale.shape[1]
    quadratic = np.concatenate(
        [
            expansion.trees[k].values
            if k in expansion.trees
            else np.zeros((*expansion.linear[k].values.shape, number))
            for k in orders
        ],
        axis=1,
    )
    return linear, quadratic / (scale[:, None, :, None] * scale[:, None, None, :])


def _tree_error(
    action: Action, cutoffs: tuple[float, ...], expansion: Expansion
) -> Packed:
    """(entry,) largest relative error of the trees, 0 in orders that have none.

    Raises:
        FitError: It would show in the couplings.
    """
    errors = []
    for order in action.orders:
        entries = expansion.linear[order].values.shape[1]
        worst = 0.0
        if order in expansion.trees:
            values, error = expansion.trees[order]
            largest = np.abs(values).max(axis=(1, 2, 3))
            relative = error.max(axis=(1, 2, 3)) / np.maximum(largest, 1e-300)
            worst = float(relative.max())
            if not worst <= _TREE_LIMIT:
                vertices = [action.names[i] for i in action.tree_operators]
                raise FitError(
                    f"the second-order trees of {' and '.join(vertices)} have relative "
                    f"error {worst:.1e} at cutoff {cutoffs[int(relative.argmax())]:g}; "
                    f"expected below {_TREE_LIMIT}: use fewer cutoffs, inputs on a "
                    "scale that the kernel resolves, or the measure Empirical(points)"
                )
        errors.append(np.full(entries, worst))
    return np.concatenate(errors)


def _integral_error(
    action: Action, cutoffs: tuple[float, ...], design: DesignMatrix
) -> float:
    """Largest relative error of the integrals.

    Raises:
        FitError: It would show in the couplings.
    """
    column, error = design
    largest = np.abs(column).max(axis=1)
    relative = np.where(largest > 0, error.max(axis=1) / np.maximum(largest, 1e-300), 0)
    if not relative.max() <= _INTEGRAL_LIMIT:
        where = np.unravel_index(relative.argmax(), relative.shape)
        raise FitError(
            f"the integral of operator {action.names[where[1]]!r} at cutoff "
            f"{cutoffs[where[0]]} has relative error {relative.max():.1e}; expected "
            f"below {_INTEGRAL_LIMIT}: choose another cutoff or inputs on a scale that "
            "the kernel resolves"
        )
    return float(relative.max())

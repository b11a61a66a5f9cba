"""Random networks and inputs, of every installed architecture that has the means."""

import warnings

import numpy as np
from hypothesis import Phase, reject, settings
from hypothesis import strategies as st

import nnft_ppl as nnft
from nnft_ppl.correlators.neuron.exact import UnresolvedWarning

NUM_POINTS = 3
"""One number of inputs, so that programs are compiled once."""

LARGEST, SMALLEST = 6, -8
"""Powers of ten of the inputs."""


def few(examples):
    """So many examples, each of seconds; a failure is shown as it was met."""
    return settings(max_examples=examples, phases=[Phase.generate])


def _options(name):
    """Options that give an architecture a neuron: one layer, where it has layers."""
    options = nnft.architectures()[name].options
    return {"depth": 1} if "depth" in options else {}


def _neurons():
    found = {}
    for name in nnft.architectures():
        try:
            net = nnft.network(name, width=3, input_dim=1, **_options(name))
        except nnft.SpecError:  # it takes images or sequences
            continue
        if net.neuron() is not None:
            found[name] = net.neuron()
    return found


_NEURONS = _neurons()
NAMES = tuple(_NEURONS)
HOMOGENEOUS = tuple(n for n in NAMES if _NEURONS[n].homogeneity is not None)


@st.composite
def networks(draw, names=NAMES, input_dim=1, bias=True, width=None):
    """A network with an exact form."""
    name = draw(st.sampled_from(names))
    return nnft.network(
        name,
        width=width or draw(st.sampled_from([2, 5, 20, 300])),
        input_dim=input_dim,
        weight_std=draw(st.floats(0.5, 2.0)),
        bias_std=draw(st.sampled_from([0.0, 0.3, 1.0])) if bias else 0.0,
        **_options(name),
    )


@st.composite
def inputs(draw, input_dim=1, positive=False, largest=LARGEST):
    """Inputs (point, dim) of one scale, well apart."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = (
        rng.uniform(0.3, 1.3, size=(NUM_POINTS, input_dim))
        + np.arange(NUM_POINTS)[:, None]
    )
    if not positive:
        x = x * rng.choice([-1.0, 1.0], size=x.shape)
    return 10.0 ** draw(st.integers(SMALLEST, largest)) * x


def exact(net, x, orders=(2, 4)):
    """Exact correlators, where float64 has room for them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnresolvedWarning)  # errors are compared with
        try:
            return nnft.exact_correlators(net, x, orders)
        except nnft.UnavailableError as error:
            if "float" not in str(error):
                raise
            reject()


def assert_equal_within_errors(one, other, order, factor=1.0, at=slice(None)):
    """one[at] = factor other, by the bounds of both and the rounding of the inputs."""
    value, error = one.connected(order)[at], one.connected_error(order)[at]
    expected = factor * other.connected(order)
    allowed = error + np.abs(factor) * other.connected_error(order)
    assert (np.abs(value - expected) <= 2 * allowed).all()

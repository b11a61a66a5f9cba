"""One layer of a network library, what its default prior must be, and the checks of it.

What a layer sums over is read off its own sizes, not off the traced program. And it is
drawn: at inputs that are all 1, a layer whose window lies inside the input has
E f² = σ_W² + σ_b² whatever its sizes, if its fan-in is right.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import numpy as np
from numpyro import handlers

import nnft_ppl as nnft

W, B = 1.3, 0.7
"""σ_W and σ_b."""
LINEAR = W**2 + B**2


def entry(out):
    """One number in the middle of the output, as an output of size one."""
    return out[tuple(slice(n // 2, n // 2 + 1) for n in out.shape)].reshape(1)


def gauss(function):
    """E of a function of three independent standard normals, by quadrature."""
    z, w = np.polynomial.hermite_e.hermegauss(40)
    grid = np.meshgrid(z, z, z, indexing="ij")
    weight = np.einsum("i,j,k->ijk", w, w, w) / np.sqrt(2 * np.pi) ** 3
    return float((weight * function(*grid)).sum())


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm_step():
    """E h² after one step from nothing: h = σ(o) tanh(σ(i) tanh g)."""
    s = LINEAR**0.5
    return gauss(
        lambda i, g, o: (sigmoid(s * o) * np.tanh(sigmoid(s * i) * np.tanh(s * g))) ** 2
    )


def gru_step(bias_of_hidden):
    """E h² after one step from nothing: h = (1 − σ(z)) tanh(a + σ(r) b)."""
    s = LINEAR**0.5

    def square(z, r, n):
        std = np.sqrt(LINEAR + sigmoid(s * r) ** 2 * bias_of_hidden**2)
        return ((1 - sigmoid(s * z)) * np.tanh(std * n)) ** 2

    return gauss(square)


@dataclass(frozen=True)
class Case:
    """One layer, how it is called, and what its default prior must be.

    Args:
        make: As for the adapter.
        input_shape: Of one input.
        fan_in: Path -> fan-in, of all that has the prior of a weight.
        second_moment: E f² of the middle entry at `x`.
        call: (layer, one input) -> its output.
        x: All ones unless given.
        prior: Given beside the default.
    """

    make: Callable
    input_shape: tuple[int, ...]
    fan_in: dict[str, int]
    second_moment: float = LINEAR
    call: Callable = lambda layer, x: layer(x)
    x: np.ndarray | None = None
    prior: dict = field(default_factory=dict)

    def network(self, adapt):
        """The network that is this layer, by `architecture_from_…`."""

        def call(layer, x):
            return entry(self.call(layer, x))

        arch = adapt("layer", self.make, self.prior, call=call)
        return nnft.Network.build(
            arch, width=6, input_dim=self.input_shape, weight_std=W, bias_std=B
        )

    def check_prior(self, adapt):
        """Weights N(0, σ_W²/fan-in), biases N(0, σ_b²), and nothing else is random."""
        net = self.network(adapt)
        trace = handlers.trace(handlers.seed(net.prior, jax.random.key(0))).get_trace()
        weights = {p: W**2 / fan_in for p, fan_in in self.fan_in.items()}
        biases = {p: B**2 for p in trace if p.split(".")[-1].startswith("bias")}
        assert set(trace) == {*weights, *biases, *self.prior}
        for path, expected in (weights | biases).items():
            variance = np.unique(trace[path]["fn"].variance)
            np.testing.assert_allclose(variance, [expected], rtol=1e-5)

    def check_draws(self, adapt):
        """E f² of 8000 networks within four standard errors."""
        x = np.ones(self.input_shape) if self.x is None else self.x
        values = nnft.sample_ensemble(
            self.network(adapt), x.reshape(1, -1), 8_000, key=jax.random.key(1)
        ).values
        squares = values[:, 0, 0] ** 2
        error = squares.std() / len(squares) ** 0.5
        assert error < 0.1 * self.second_moment  # a factor of two would be seen
        assert abs(squares.mean() - self.second_moment) < 4 * error


RAMP = np.arange(6.0) - 1
NORMED = (RAMP - RAMP.mean()) / np.sqrt(RAMP.var() + 1e-5)
GROUPED = np.concatenate([(h - h.mean()) / h.std() for h in (RAMP[:3], RAMP[3:])])

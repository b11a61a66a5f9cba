"""Training of fully connected networks by hand: gradients, flow, descent.

NumPy and SciPy alone; nothing here imports the package under test. Parameters are
standardised: a weight is σ_W ω/√fan-in, a bias σ_b ω.
"""

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import erf

ACTIVATIONS = {
    "erf": (erf, lambda z: 2 / np.pi**0.5 * np.exp(-(z**2))),
    "identity": (lambda z: z, np.ones_like),
    "relu": (lambda z: np.maximum(z, 0.0), lambda z: (z > 0).astype(float)),
}


class Layers:
    """Layers W0, b0, W1, … of standardised parameters, in one vector."""

    def __init__(self, shapes, activation, weight_std, bias_std):
        self.shapes, self.names = shapes, list(shapes)
        self.phi, self.slope = ACTIVATIONS[activation]
        self.std = {
            n: weight_std / shapes[n][0] ** 0.5 if n[0] == "W" else bias_std
            for n in self.names
        }

    def split(self, vector):
        cuts = np.cumsum([np.prod(self.shapes[n]) for n in self.names])[:-1]
        parts = np.split(vector, cuts)
        return {
            n: self.std[n] * part.reshape(self.shapes[n])
            for n, part in zip(self.names, parts, strict=True)
        }

    def outputs(self, vector, x):
        return self._forward(vector, x)[-1]

    def _forward(self, vector, x):
        p, h, trail = self.split(vector), x, []
        depth = len(self.names) // 2 - 1
        for layer in range(depth):
            z = h @ p[f"W{layer}"] + p[f"b{layer}"]
            trail.append((h, z))
            h = self.phi(z)
        trail.append((h, None))
        return p, trail, h @ p[f"W{depth}"] + p[f"b{depth}"]

    def gradient(self, vector, x, y):
        """Of ½ Σ (f − y)², by the chain rule."""
        p, trail, f = self._forward(vector, x)
        back, found = f - y, {}
        for layer in reversed(range(len(trail))):
            h = trail[layer][0]
            found[f"W{layer}"] = self.std[f"W{layer}"] * h.T @ back
            found[f"b{layer}"] = self.std[f"b{layer}"] * back.sum(axis=0)
            if layer:
                back = back @ p[f"W{layer}"].T * self.slope(trail[layer - 1][1])
        return np.concatenate([found[n].ravel() for n in self.names])

    def flow(self, vector, x, y, times):
        """(time, parameter) of gradient flow."""
        return solve_ivp(
            lambda _, v: -self.gradient(v, x, y),
            (0.0, times[-1]),
            vector,
            method="LSODA",
            t_eval=times,
            rtol=1e-9,
            atol=1e-10,
        ).y.T

    def in_short_steps(self, vector, x, y, times, step):
        """The same by Heun's method in equal steps, which pass over kinks."""
        found, now = [], 0.0
        for time in times:
            number = round((time - now) / step)
            for _ in range(number):
                first = self.gradient(vector, x, y)
                second = self.gradient(vector - step * first, x, y)
                vector = vector - step * (first + second) / 2
            found.append(vector)
            now = time
        return np.array(found)


def ridge_readout(features, y, features_new, start, time=None, rate=None, steps=0):
    """f at new inputs of a linear layer ω trained from `start`; flow or descent."""
    weights = start.copy()
    if time is None:
        for _ in range(steps):
            weights -= rate * features.T @ (features @ weights - y)
        return features_new @ weights
    found = solve_ivp(
        lambda _, w: -features.T @ (features @ w - y),
        (0.0, time),
        weights,
        method="LSODA",
        rtol=1e-10,
        atol=1e-12,
    )
    return features_new @ found.y[:, -1]

"""Telling two handwritten digits apart: does a finite width help the classifier?

The 8×8 digits that scikit-learn ships. Few are trained on: the logit of the class is
the output of a network with one hidden layer, whose readout is integrated out by
`nnft.random_kernel`; NUTS samples its hidden weights, and the logits at the data. Its
Gaussian process of infinite width is sampled likewise. Accuracy and log loss are on
digits held out.

    python examples/two_digits.py --widths 5 20
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.linalg import solve_triangular
from numpyro.infer import MCMC, NUTS, Predictive
from sklearn.datasets import load_digits

import nnft_ppl as nnft

type Kernel = Callable[[np.ndarray], jax.Array]

JITTER = 1e-3
"""On the diagonal of the kernel, whose rank is at most the width."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digits", type=int, nargs=2, default=[3, 8])
    parser.add_argument("--widths", type=int, nargs="+", default=[2, 5, 20])
    parser.add_argument("--num-data", type=int, default=40)
    parser.add_argument("--num-samples", type=int, default=500)
    given = parser.parse_args(argv)
    x, labels = two_digits(given.digits)
    seen, held = slice(given.num_data), slice(given.num_data, None)
    sys.stdout.write("| width | accuracy | log loss |\n|---|---|---|\n")
    net = nnft.network("relu-net", width=1, input_dim=64, weight_std=4.0, bias_std=0.5)
    limit = jnp.asarray(net.kernel(x), jnp.float32)
    kernels: dict[int | str, Kernel] = {
        width: partial(nnft.random_kernel, net.with_width(width))
        for width in given.widths
    }
    kernels["∞"] = lambda points: limit[: len(points), : len(points)]
    for width, kernel in kernels.items():
        chance = probabilities(kernel, x, labels[seen], given.num_samples)
        accuracy = np.mean((chance > 0.5) == labels[held])
        loss = -np.mean(np.log(np.where(labels[held] == 1, chance, 1 - chance)))
        sys.stdout.write(f"| {width} | {accuracy:.3f} | {loss:.3f} |\n")
        sys.stdout.flush()
    return 0


def two_digits(digits: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Images (image, 64) of either digit, centred, and which are of the second."""
    found = load_digits()
    mine = np.random.default_rng(0).permutation(
        np.flatnonzero(np.isin(found.target, digits))
    )
    x = found.data[mine] / 16
    return x - x.mean(axis=0), (found.target[mine] == digits[1]).astype(int)


def probabilities(
    kernel: Kernel, x: np.ndarray, labels: np.ndarray, num_samples: int
) -> np.ndarray:
    """Of the second class at the inputs after those with labels, (new,)."""
    count = len(labels)

    def classes(labels: np.ndarray | None = None, *, new: bool = False) -> None:
        points = x if new else x[:count]
        covariance = kernel(points) + JITTER * jnp.eye(len(points))
        root = jnp.linalg.cholesky(covariance[:count, :count])
        # Independent of the kernel beforehand, which is easier to sample.
        unit = numpyro.sample("unit", dist.Normal(jnp.zeros(count), 1.0).to_event(1))
        numpyro.sample("labels", dist.Bernoulli(logits=root @ unit), obs=labels)
        if new:
            gain = solve_triangular(root, covariance[:count, count:], lower=True)
            left = jnp.diagonal(covariance)[count:] - jnp.sum(gain**2, axis=0)
            scale = jnp.sqrt(jnp.maximum(left, JITTER))
            logits = numpyro.sample("logits", dist.Normal(gain.T @ unit, scale))
            numpyro.deterministic("chance", jax.nn.sigmoid(logits))

    mcmc = MCMC(
        NUTS(classes),
        num_warmup=num_samples,
        num_samples=num_samples,
        progress_bar=False,
    )
    mcmc.run(jax.random.key(0), labels)
    predictive = Predictive(classes, mcmc.get_samples(), return_sites=["chance"])
    chance = predictive(jax.random.key(1), new=True)["chance"]
    return np.asarray(chance.mean(axis=0), np.float64)


if __name__ == "__main__":
    raise SystemExit(main())

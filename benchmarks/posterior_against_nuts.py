"""The exact posterior against NUTS on all weights: twenty problems, one line each.

NUTS knows nothing of K̂: it samples every weight, the readout's too, in the NumPyro
model of the prior, the network and normal noise. Means of the field at new inputs, each
with its error: of `nnft.posterior`, and by ArviZ's Monte Carlo standard error of the
chains.

    python benchmarks/posterior_against_nuts.py [--num-samples 10000] [NUMBER ...]
"""

import argparse
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import arviz as az
import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import xarray as xr
from numpyro.infer import MCMC, NUTS
from scipy.special import ndtri

import nnft_ppl as nnft
from nnft_ppl.bayes.posterior import PosteriorWarning

NOISE = 0.3
NUM_CHAINS = 4
LARGEST_RHAT = 1.01
"""Chains beyond it have not mixed, and are left out of the summary by name."""


@dataclass(frozen=True)
class Problem:
    """A network and how many data it is given; options are of the architecture."""

    name: str
    width: int
    num_data: int
    input_dim: int | tuple[int, ...] = 1
    outputs: int = 1
    options: dict[str, object] = field(default_factory=dict)

    def network(self) -> nnft.Network:
        """The prior."""
        return nnft.network(
            self.name,
            width=self.width,
            input_dim=self.input_dim,
            output_dim=self.outputs,
            weight_std=1.2,
            **self.options,
        )

    def data(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y (data, output) and three new inputs."""
        rng = np.random.default_rng(self.num_data)
        shape = np.atleast_1d(self.input_dim)
        x = rng.normal(size=(self.num_data, *shape))
        x_new = rng.normal(size=(3, *shape))
        total = x.reshape(len(x), -1).sum(axis=1)
        y = np.stack([np.sin(total), np.cos(2 * total)], axis=1)[:, : self.outputs]
        return x, y + NOISE * rng.normal(size=y.shape), x_new


BIAS = {"bias_std": 0.5}
TANH = {"activation": "tanh", "depth": 2, "bias_std": 0.3}
PROBLEMS = (
    Problem("relu-net", 5, 3, options=BIAS),
    Problem("relu-net", 20, 8, input_dim=2),
    Problem("relu-net", 20, 12, outputs=2, options=BIAS),
    Problem("relu-net", 50, 15, input_dim=3, options=BIAS),
    Problem("relu-net", 100, 30, input_dim=2),
    Problem("relu-net", 200, 8, input_dim=2),
    Problem("erf-net", 5, 4, options=BIAS),
    Problem("erf-net", 20, 15, options=BIAS),
    Problem("erf-net", 20, 10, input_dim=2, outputs=2, options=BIAS),
    Problem("erf-net", 100, 30, input_dim=2, options=BIAS),
    Problem("erf-net", 200, 5, options=BIAS),
    Problem("mlp", 5, 3, options=TANH),
    Problem("mlp", 8, 6, input_dim=2, options=TANH),
    Problem("mlp", 20, 12, input_dim=2, outputs=2, options=TANH),
    Problem("mlp", 50, 20, options={**TANH, "activation": "relu"}),
    Problem("residual-mlp", 5, 4, options={"depth": 2, **BIAS}),
    Problem("residual-mlp", 20, 15, input_dim=2, options={"depth": 2, **BIAS}),
    Problem("conv-net", 10, 8, input_dim=(5, 1), options=BIAS),
    Problem("correlated-net", 10, 8, options=BIAS),
    Problem("correlated-net", 50, 20, input_dim=2, outputs=2, options=BIAS),
)


def by_nuts(
    problem: Problem, num_warmup: int, num_samples: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Means (new, output), their Monte Carlo standard errors, the largest rhat."""
    net = problem.network()
    x, y, x_new = problem.data()

    def model(y: np.ndarray) -> None:
        f = net.apply(net.prior(), np.concatenate([x, x_new]))
        numpyro.sample("y", dist.Normal(f[: len(x)], NOISE), obs=y)
        numpyro.deterministic("f", f[len(x) :])

    with jax.enable_x64(True):
        mcmc = MCMC(
            NUTS(model, target_accept_prob=0.9),
            num_warmup=num_warmup,
            num_samples=num_samples,
            num_chains=NUM_CHAINS,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(jax.random.key(9), y)
        found = np.asarray(mcmc.get_samples(group_by_chain=True)["f"])
    chains = xr.Dataset({"f": (("chain", "draw", "new", "output"), found)})
    tree = xr.DataTree.from_dict({"posterior": chains})
    error, rhat = (one["f"].to_numpy() for one in (az.mcse(tree), az.rhat(tree)))
    return found.mean(axis=(0, 1)), error, float(rhat.max())


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and its summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("numbers", type=int, nargs="*", help="of problems, from 1")
    parser.add_argument("--num-draws", type=int, default=400_000, help="networks")
    parser.add_argument("--num-warmup", type=int, default=2000)
    parser.add_argument("--num-samples", type=int, default=10_000, help="per chain")
    given = parser.parse_args(argv)
    warnings.simplefilter("ignore", PosteriorWarning)
    scores, unmixed = [], []
    print(
        "   network        width  data  out  method    k̂       exact        "
        "    NUTS             z   rhat    s"
    )
    for number in given.numbers or range(1, len(PROBLEMS) + 1):
        problem, begun = PROBLEMS[number - 1], time.perf_counter()
        x, y, x_new = problem.data()
        post = nnft.posterior(
            problem.network(),
            x,
            y,
            x_new,
            noise_std=NOISE,
            num_draws=given.num_draws,
            key=jax.random.key(5),
        )
        mean, error, rhat = by_nuts(problem, given.num_warmup, given.num_samples)
        exact, exact_error = (
            part.reshape(mean.shape) for part in (post.mean, post.mean_error)
        )
        z = (exact - mean) / np.hypot(error, exact_error)
        if rhat <= LARGEST_RHAT:
            scores.append(z.ravel())
        else:
            unmixed.append(number)
        seconds = time.perf_counter() - begun
        for i, where in enumerate(np.ndindex(mean.shape)):
            head = (
                f"{number:2d} {problem.name:14} {problem.width:5d} {len(x):5d} "
                f"{problem.outputs:4d}  {post.method:8} {post.pareto_k:5.2f}"
            )
            print(f"{head if i == 0 else '':47}", end="")
            print(f"{exact[where]:9.4f} ± {exact_error[where]:.4f}", end="")
            print(f"{mean[where]:9.4f} ± {error[where]:.4f}{z[where]:7.2f}", end="")
            print(f"{rhat:7.3f}{seconds:5.0f}" if i == 0 else "", flush=True)
    if unmixed:
        print(f"left out, as chains have not mixed (rhat > {LARGEST_RHAT}): {unmixed}")
    if scores:
        print(summary(scores))


def summary(scores: list[np.ndarray]) -> str:
    """Root mean square of z and its error, and the largest.

    Means of one problem are not independent, so that the error is from the scatter of
    problems.
    """
    z = np.concatenate(scores)
    square = np.mean(z**2)
    sums = np.array([np.sum(one**2 - square) for one in scores])
    error = np.sqrt(np.sum(sums**2)) / len(z) / (2 * np.sqrt(square))
    expected = ndtri((1 + 0.5 ** (1 / len(z))) / 2)
    return (
        f"{len(z)} means: rms z {np.sqrt(square):.2f} ± {error:.2f}, largest |z| "
        f"{np.abs(z).max():.2f} ({expected:.2f} expected); beyond two: "
        f"{np.sum(np.abs(z) > 2)} ({0.0455 * len(z):.1f} expected)"
    )


if __name__ == "__main__":
    main()

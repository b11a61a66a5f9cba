"""Whether posteriors of a network of finite width can be trusted."""

from collections.abc import Sequence

import numpy as np

from nnft_ppl._numbers import significant
from nnft_ppl.bayes.result import Posterior
from nnft_ppl.bayes.weights import MIN_EFFECTIVE, largest_k
from nnft_ppl.diagnostics.checks import Check

MAX_RHAT = 1.05
"""Of means at new inputs, as `nnft_ppl.posterior` warns."""


def check_posteriors(posteriors: Sequence[Posterior], num_draws: int) -> Check:
    """One check of all: how many have weights that failed, or chains that differ.

    Args:
        posteriors: By whatever route.
        num_draws: Networks that were weighted, where weights were tried.
    """
    failed = [
        (post.network.width, reason)
        for post in posteriors
        for reason in [_why_not(post, num_draws)]
        if reason is not None
    ]
    return Check(
        name="posterior",
        value=float(len(failed)),
        threshold=0.0,
        passed=not failed,
        message=(
            "weights are good, or the sampler that took over has converged"
            if not failed
            else "; ".join(f"at width {width} {reason}" for width, reason in failed)
        ),
    )


def _why_not(post: Posterior, num_draws: int) -> str | None:
    """Why a posterior is not to be trusted."""
    if post.method != "weights":
        if post.rhat <= MAX_RHAT:
            return None
        return (
            f"chains have not converged (largest rhat {post.rhat:.3f}): take more "
            "`num_samples`"
        )
    largest = largest_k(num_draws)
    if post.pareto_k <= largest and post.effective_draws >= MIN_EFFECTIVE:
        return None
    k = "∞" if np.isinf(post.pareto_k) else significant(post.pareto_k, 2)
    return (
        f"weights failed (Pareto k {k}, at most {largest:.2f} is good, "
        f"{significant(post.effective_draws)} effective draws): use `smc`"
    )

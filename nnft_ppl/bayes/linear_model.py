"""Bayesian linear regression on the features of one network: all of it in closed form.

y = Φ v + σ ε with standard normal v and ε, for each output with its own v. In: Φ in
float64. Out: evidence, predictive, draws of the field. Whichever of the matrices
Φ Φᵀ + σ² (data) and Φᵀ Φ + σ² (features) is smaller is factored.

Source: theory.md §6, exact inference at finite width; Rasmussen and Williams, Gaussian
Processes for Machine Learning (2006), equations 2.11, 2.25, 2.26 and 2.30; Matheron's
rule: Wilson et al., arXiv:2002.09309 equation 12.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Float


class Given(NamedTuple):
    """What is known given the features of one network; float64.

    Attributes:
        log_evidence: Σ over outputs of log N(y; 0, Φ Φᵀ + σ²); −∞ where that matrix is
            singular.
        mean: (new, output) of f at new inputs.
        variance: (new,) of f there, the same for every output.
    """

    log_evidence: jax.Array
    mean: Float[jax.Array, "new output"]
    variance: Float[jax.Array, " new"]


def condition(
    features: Float[jax.Array, "point feature"],
    new: Float[jax.Array, "new feature"],
    y: Float[jax.Array, "point output"],
    noise: jax.Array,
) -> Given:
    """Evidence and predictive.

    Args:
        features: Φ at the data.
        new: Φ at new inputs.
        y: Targets.
        noise: σ, which may be 0 where there are as many features as data.
    """
    (num_data, num_features), num_outputs = features.shape, y.shape[1]
    if num_data <= num_features:
        matrix = _product(features, features.T) + noise**2 * jnp.eye(num_data)
        sides = jnp.concatenate([y, _product(features, new.T)], axis=1)
        root = jnp.linalg.cholesky(matrix)
        solved = solve_triangular(root, sides, lower=True)
        of_y, of_new = solved[:, :num_outputs], solved[:, num_outputs:]
        misfit = jnp.sum(of_y**2)
        log_det = _log_det(root)
        variance = jnp.sum(new**2, axis=1) - jnp.sum(of_new**2, axis=0)
    else:
        root = _feature_root(features, noise)
        sides = jnp.concatenate([_product(features.T, y), new.T], axis=1)
        solved = solve_triangular(root, sides, lower=True)
        of_y, of_new = solved[:, :num_outputs], solved[:, num_outputs:]
        misfit = (jnp.sum(y**2) - jnp.sum(of_y**2)) / noise**2
        log_det = _log_det(root) + 2 * (num_data - num_features) * jnp.log(noise)
        variance = noise**2 * jnp.sum(of_new**2, axis=0)
    constant = num_data * jnp.log(2 * jnp.pi)
    log_evidence = -(misfit + num_outputs * (log_det + constant)) / 2
    return Given(
        jnp.where(jnp.isnan(log_evidence), -jnp.inf, log_evidence),
        _product(of_new.T, of_y),
        jnp.maximum(variance, 0.0),  # of rounding, where f is known
    )


def draw_field(
    features: Float[jax.Array, "point feature"],
    y: Float[jax.Array, "point output"],
    noise: jax.Array,
    normals: Float[jax.Array, "feature output"],
    errors: Float[jax.Array, "point output"],
) -> Float[jax.Array, "feature output"]:
    """One draw of v given the data, so that f = Φ v at any input.

    A draw of the prior is moved by what the data say of it (Matheron's rule).

    Args:
        features: Φ at the data.
        y: Targets.
        noise: σ.
        normals: Standard normal, for the draw of the prior.
        errors: Standard normal, for its noise.
    """
    left = y - _product(features, normals) - noise * errors
    if len(features) <= features.shape[1]:
        matrix = _product(features, features.T) + noise**2 * jnp.eye(len(features))
        solved = jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(matrix), True), left)
        return normals + _product(features.T, solved)
    root = _feature_root(features, noise)
    moved: jax.Array = jax.scipy.linalg.cho_solve(
        (root, True), _product(features.T, left)
    )
    return normals + moved


def _feature_root(features: jax.Array, noise: jax.Array) -> jax.Array:
    """The Cholesky factor of Φᵀ Φ + σ²."""
    size = features.shape[1]
    matrix = _product(features.T, features) + noise**2 * jnp.eye(size)
    root: jax.Array = jnp.linalg.cholesky(matrix)
    return root


def _log_det(root: jax.Array) -> jax.Array:
    log_det: jax.Array = 2 * jnp.sum(jnp.log(jnp.diagonal(root)))
    return log_det


def _product(left: jax.Array, right: jax.Array) -> jax.Array:
    product: jax.Array = jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
    return product

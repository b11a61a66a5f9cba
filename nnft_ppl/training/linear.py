"""Training of what is linear in its parameters, in closed form.

With Θ = J Jᵀ fixed the residuals at the data decay, and f elsewhere follows,

    f(x, t) = f(x, 0) − Θ(x, X) g(Θ, t) (f(X, 0) − y),

g = (1 − e^{−Θt})/Θ for gradient flow, (1 − (1 − ηΘ)^k)/Θ after k steps of descent.

Source: Lee et al., arXiv:1902.06720 equations 8 to 11.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float


def learned(
    eigenvalues: Float[jax.Array, " leg"],
    time: jax.Array | float,
    learning_rate: jax.Array | float | None,
) -> Float[jax.Array, " leg"]:
    """The factor g of each eigenvalue of Θ.

    Args:
        eigenvalues: λ ≥ 0.
        time: t, or the number of steps.
        learning_rate: η of gradient descent; `None` for the flow.
    """
    positive = eigenvalues > 0
    safe = jnp.where(positive, eigenvalues, 1.0)
    if learning_rate is None:
        return jnp.where(positive, -jnp.expm1(-safe * time) / safe, time)
    rate = learning_rate * safe
    near = rate < 0.5
    slow = -jnp.expm1(time * jnp.log1p(-jnp.where(near, rate, 0.0)))  # keeps digits
    done = jnp.where(near, slow, 1 - jnp.power(1 - rate, time))
    return jnp.where(positive, done / safe, learning_rate * time)

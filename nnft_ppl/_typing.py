"""Array aliases with named axes, used in annotations throughout the package.

Axis words: `draw`, `point` (input), `dim` (input dimension), `output`, `entry` (unique
element of a packed symmetric tensor), `feature` (unit of the last hidden layer).
"""

from typing import Any

import jax
import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "point dim"]
Draws = Float[np.ndarray, "draw point output"]
Packed = Float[np.ndarray, " entry"]
Matrix = Float[np.ndarray, "row column"]
Params = Any
"""A pytree of arrays: whatever the architecture's prior returns."""
Key = jax.Array
"""A JAX random key: typed (`jax.random.key`) or legacy (`jax.random.PRNGKey`)."""

"""What a route to the posterior gives: moments of the field, and draws of it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nnft_ppl.bayes.data import Data


@dataclass(frozen=True, eq=False)
class Answer:
    """Moments of f at the new inputs, (new, output).

    Attributes:
        mean: E f.
        variance: Var f, without noise.
        mean_error: One standard error of the mean.
    """

    mean: Float[np.ndarray, "new output"]
    variance: Float[np.ndarray, "new output"]
    mean_error: Float[np.ndarray, "new output"]


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of the posterior, (chain, draw, …).

    Attributes:
        unknown: Name -> (chain, draw) of the scales that were inferred.
        field: f at the data, (…, point, output).
        replicated: y there, with noise.
        new_field: f at the new inputs, (…, new, output).
        new_targets: y there, with noise.
    """

    unknown: dict[str, np.ndarray]
    field: Float[np.ndarray, "chain draw point output"]
    replicated: Float[np.ndarray, "chain draw point output"]
    new_field: Float[np.ndarray, "chain draw new output"]
    new_targets: Float[np.ndarray, "chain draw new output"]

    @staticmethod
    def of(
        data: Data,
        scales: dict[str, np.ndarray],
        fields: Float[np.ndarray, "sample row output"],
        rng: np.random.Generator,
        unknown: tuple[str, ...],
        shape: tuple[int, int],
    ) -> "Draws":
        """With noise added.

        Args:
            data: What they are given.
            scales: Name -> (sample,), `noise_std` among them.
            fields: f at the data and the new inputs.
            rng: For the noise.
            unknown: Names of the scales that were inferred.
            shape: (chains, draws), as many as samples.
        """
        noise = scales["noise_std"][:, None, None]
        targets = fields + noise * rng.standard_normal(fields.shape)
        number = len(data.x)

        def parts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            by_chain = values.reshape(*shape, *values.shape[1:])
            return by_chain[:, :, :number], by_chain[:, :, number:]

        (field, new_field), (replicated, new_targets) = parts(fields), parts(targets)
        return Draws(
            {name: scales[name].reshape(shape) for name in unknown},
            field,
            replicated,
            new_field,
            new_targets,
        )

"""Scales of a model that may be unknown: noise, weights, biases, by NumPyro laws."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist

from nnft_ppl._arguments import check_number
from nnft_ppl._errors import SpecError, shown
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Key
from nnft_ppl.ensemble.model import numbered_keys

type Scale = float | dist.Distribution

_NAMES = ("noise_std", "weight_std", "bias_std")
_TRIED = 1000
"""Draws of a law that are looked at."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("noise_std", "of_network"),
    meta_fields=(),
)
@dataclass(frozen=True, eq=False)
class Scales:
    """What is known, or believed, of the scales.

    Attributes:
        noise_std: σ of the targets, or its law.
        of_network: Law by name, of those of `weight_std` and `bias_std` that are
            unknown; the network's own number holds for the others.
    """

    noise_std: Scale
    of_network: dict[str, dist.Distribution]

    @staticmethod
    def checked(
        noise_std: object, weight_std: object = None, bias_std: object = None
    ) -> "Scales":
        """From arguments.

        Raises:
            SpecError: One is neither a number nor a law of one positive number.
        """
        given = {"weight_std": weight_std, "bias_std": bias_std}
        return Scales(
            noise_std=_checked_law("noise_std", noise_std)
            if isinstance(noise_std, dist.Distribution)
            else check_number(
                "noise_std",
                noise_std,
                lambda s: 0 <= s < float("inf"),
                "a finite number ≥ 0, or a NumPyro distribution of one",
            ),
            of_network={
                name: _checked_law(name, law)
                for name, law in given.items()
                if law is not None
            },
        )

    @property
    def laws(self) -> dict[str, dist.Distribution]:
        """Those that are unknown."""
        unknown = isinstance(self.noise_std, dist.Distribution)
        return {**({"noise_std": self.noise_std} if unknown else {}), **self.of_network}

    def record(self) -> dict[str, float | str]:
        """Name -> number, or law in words, for a file."""
        return {"noise_std": self.noise_std, **self.of_network} | {
            name: _in_words(law) for name, law in self.laws.items()
        }

    def draw(self, key: Key, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Name -> (network,) from the laws: of network j a function of (key, j)."""
        drawn = {}
        with jax.enable_x64(True):
            for name, law in self.laws.items():
                keys = numbered_keys(
                    jax.random.fold_in(key, _NAMES.index(name)), numbers
                )
                drawn[name] = np.asarray(_sampled(law, keys), np.float64)
        if "noise_std" not in drawn:
            drawn["noise_std"] = np.full(len(numbers), self.noise_std)
        return drawn

    def sample(self) -> dict[str, Any]:
        """Sites of the unknown ones in a NumPyro model; numbers of the others."""
        sites = {name: numpyro.sample(name, law) for name, law in self.laws.items()}
        return {"noise_std": self.noise_std, **sites}


@jax.jit
def _sampled(law: dist.Distribution, keys: Key) -> jax.Array:
    drawn: jax.Array = jax.vmap(lambda key: law.sample(key))(keys)
    return drawn


def _checked_law(name: str, law: object) -> dist.Distribution:
    """A law of one positive number, as its draws show."""
    expected = "a NumPyro distribution of one positive number"
    if not isinstance(law, dist.Distribution):
        raise SpecError(
            f"`{name}` is {shown(law)}; expected {expected}: a known one is given to "
            "the network"
        )
    if law.batch_shape or law.event_shape:
        raise SpecError(
            f"`{name}` has the shape {law.batch_shape + law.event_shape}; expected "
            f"{expected}"
        )
    drawn = np.asarray(law.sample(seed_key(0), (_TRIED,)))
    if not ((drawn > 0) & np.isfinite(drawn)).all():
        wrong = drawn[~((drawn > 0) & np.isfinite(drawn))][0]
        raise SpecError(
            f"`{name}` is {_in_words(law)}, a draw of which is {wrong:g}; expected "
            f"{expected}, such as dist.LogNormal(0, 1)"
        )
    return law


def _in_words(law: dist.Distribution) -> str:
    numbers = ", ".join(
        f"{name}={np.asarray(getattr(law, name)).tolist()}"
        for name in law.arg_constraints
        if hasattr(law, name)
    )
    return f"{type(law).__name__}({numbers})"

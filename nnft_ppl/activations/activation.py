"""`Activation`: an elementwise function with what is known of it in closed form."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._errors import SpecError
from nnft_ppl._travel import Reduced, by_value


@dataclass(frozen=True, kw_only=True)
class Activation:
    """An elementwise activation φ.

    Args:
        name: What files and messages call it.
        function: z -> φ(z), elementwise, of any shape.
        dual: (variance of u, variance of v, covariance) -> E[φ(u) φ(v)] in closed form,
            elementwise; `None` when quadrature is needed.
        homogeneity: h where φ(c z) = c^h φ(z) for c > 0 and the only kink is at z = 0;
            `None` when there is no such h.
        kinks: Where φ or its slope jumps, as far as you know; kinks are looked for,
            and none need be given.
    """

    name: str
    function: Callable[[jax.Array], jax.Array]
    dual: Callable[[jax.Array, jax.Array, jax.Array], jax.Array] | None = None
    homogeneity: int | None = None
    kinks: tuple[float, ...] = ()

    def __reduce__(self) -> Reduced:
        """For pickle."""
        return by_value(
            self,
            f"the activation {self.name!r}",
            "define its functions at the top of a module",
        )

    @staticmethod
    def named_after(function: Callable[[jax.Array], jax.Array]) -> "Activation":
        """A plain function as an activation, of which only its values are known.

        Raises:
            SpecError: The function has no name of its own.
        """
        name = getattr(function, "__name__", "<lambda>")
        if not name.isidentifier():
            raise SpecError(
                f"the activation {function!r} has no name to be saved by; give "
                "nnft_ppl.Activation(name=..., function=...)"
            )
        return Activation(name=name, function=function)

    def check_elementwise(self) -> None:
        """Try the function on a few numbers, compiled.

        Raises:
            SpecError: It is no elementwise function of a JAX array.
        """
        found = _fault(self.function)
        if found:
            raise SpecError(
                f"the activation {self.name!r} {found}; expected an elementwise "
                "function of a JAX array, such as one made of jax.numpy"
            )


_PROBE = (-0.7, 0.3, 1.9)


@lru_cache(maxsize=64)  # a network is built anew for every width
def _fault(function: Callable[[jax.Array], jax.Array]) -> str:
    """Why the function is no activation, or nothing."""
    numbers = np.array(_PROBE, np.float32)
    try:
        compiled = jax.jit(lambda z: jnp.asarray(function(z)))
        together = np.asarray(compiled(numbers))
        alone = [np.ravel(compiled(number[None])) for number in numbers]
    except Exception as error:
        # Whatever a user's code raises is about what it was given.
        reason = str(error).partition("\n")[0]
        return f"fails on a JAX array with {type(error).__name__} ({reason})"
    if together.shape != numbers.shape:
        return f"makes {together.shape} of an array of shape {numbers.shape}"
    if np.iscomplexobj(together):
        return "makes complex numbers of real ones"
    if not np.allclose(
        together, np.concatenate(alone), rtol=1e-5, atol=1e-6, equal_nan=True
    ):
        return "mixes the numbers of an array"
    return ""

"""`Activation`: an elementwise function with what is known of it in closed form."""

from collections.abc import Callable
from dataclasses import dataclass

import jax

from nnft_ppl._errors import SpecError


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
        kinks: Where φ or a low derivative of it jumps; empty when it is smooth.
    """

    name: str
    function: Callable[[jax.Array], jax.Array]
    dual: Callable[[jax.Array, jax.Array, jax.Array], jax.Array] | None = None
    homogeneity: int | None = None
    kinks: tuple[float, ...] = ()

    @staticmethod
    def named_after(function: Callable[[jax.Array], jax.Array]) -> "Activation":
        """A plain function as an activation, smooth unless it says otherwise.

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

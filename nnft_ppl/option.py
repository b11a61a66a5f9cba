"""Options of an architecture: what a plugin declares, what a user's value must be."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from nnft_ppl._arguments import as_float, is_whole
from nnft_ppl._errors import PluginError, SpecError, shown
from nnft_ppl.activations import Activation

type OptionValue = bool | int | float | str | Activation
"""An `Activation` is written to files by its name alone."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of an architecture: its default, meaning and bounds.

    Args:
        default: Value when the user gives none; its type is the type required.
        help: One line for people.
        minimum: Smallest number allowed, or `None`.
        maximum: Largest number allowed, or `None`.
        choices: The values allowed, or empty for any.
        activation: Whether an `Activation`, or a function of one array, is allowed
            beside the choices; the function is made an `Activation` of its own name.

    Raises:
        PluginError: The default is not itself allowed.
    """

    default: OptionValue
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[OptionValue, ...] = ()
    activation: bool = False

    def __post_init__(self) -> None:
        """Refuse a schema that contradicts itself."""
        try:
            self.validate("default", self.default)
        except SpecError as error:
            raise PluginError(
                f"the default of an option is not allowed: {error}"
            ) from error

    def validate(
        self, name: str, value: OptionValue | Callable[[jax.Array], jax.Array]
    ) -> OptionValue:
        """Return `value` in the default's type, or raise `SpecError`."""
        if isinstance(value, Activation) or callable(value):
            return self._own_activation(name, value)
        kind = type(self.default)
        if isinstance(value, np.generic):
            value = value.item()
        if kind is float and is_whole(value):
            number = as_float(value)
            value = value if number is None else number
        if kind is str and isinstance(value, (int, float)):  # a text such as "2"
            value = str(value)
        if type(value) is not kind:
            raise SpecError(
                f"option `{name}` is {shown(value)}; expected "
                f"{'an' if kind is int else 'a'} {kind.__name__} "
                f"(default {self.default!r}): {self.help}"
            )
        if value != value:
            raise SpecError(f"option `{name}` is nan; expected a number: {self.help}")
        if self.choices and value not in self.choices:
            raise SpecError(
                f"option `{name}` is {shown(value)}; choose one of {list(self.choices)}"
            )
        low, high = self.minimum, self.maximum
        if isinstance(value, (int, float)) and (
            (low is not None and not value >= low)
            or (high is not None and not value <= high)
        ):
            raise SpecError(
                f"option `{name}` is {shown(value)}; expected a value between "
                f"{low if low is not None else '-inf'} and "
                f"{high if high is not None else 'inf'}"
            )
        return value

    def _own_activation(
        self, name: str, value: Activation | Callable[[jax.Array], jax.Array]
    ) -> Activation:
        """The user's own activation, which no file can take for one of the choices."""
        if not self.activation:
            raise SpecError(f"option `{name}` takes no function: {self.help}")
        chosen = (
            value if isinstance(value, Activation) else Activation.named_after(value)
        )
        if chosen.name in self.choices:
            raise SpecError(
                f"option `{name}` is an activation named {chosen.name!r}, as a "
                f"standard one is; write {name}={chosen.name!r} for that, or give "
                "yours another name: nnft_ppl.Activation(name=..., function=...)"
            )
        chosen.check_elementwise()
        return chosen

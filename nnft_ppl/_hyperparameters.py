"""Hyperparameters as a user gives them, checked against what an architecture takes."""

import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType

import jax

from nnft_ppl._arguments import check_number, check_whole, is_whole
from nnft_ppl._errors import SpecError
from nnft_ppl.architecture import Architecture, Hyperparameters
from nnft_ppl.option import OptionValue

_COMMON = ("width", "input_dim", "output_dim", "weight_std", "bias_std")
_ELSEWHERE = {
    **dict.fromkeys(("sigma_w", "W_std", "w_std"), "weight_std"),
    **dict.fromkeys(("sigma_b", "b_std"), "bias_std"),
    **dict.fromkeys(("N", "n", "hidden_dim", "features"), "width"),
    **dict.fromkeys(("d_in", "in_dim", "in_features"), "input_dim"),
    **dict.fromkeys(("d_out", "out_dim", "out_features"), "output_dim"),
}
"""What papers and other libraries call them."""
_MAX_SIZE = 2**31 - 1
"""JAX numbers what arrays hold by 32 bits."""
_SMALLEST, _LARGEST = 1e-18, 1e18
"""Standard deviations whose squares are normal numbers of float32."""


def check_size(name: str, value: object) -> int:
    """A width or a dimension as an int, or SpecError."""
    too_large = is_whole(value) and value > _MAX_SIZE
    return check_whole(name, value, most=_MAX_SIZE if too_large else None)


def check_option_names(where: str, options: Mapping[str, object]) -> None:
    """Raise SpecError where an option has the name of something that is no option."""
    taken = sorted({"name", "architecture", *_COMMON} & set(options))
    if taken:
        raise SpecError(
            f"`{where}` gives {taken[0]!r}, which is no option of an architecture; "
            "give it beside the options"
        )


def checked_hyperparameters(
    architecture: Architecture,
    *,
    width: int,
    input_dim: int | Sequence[int],
    output_dim: int,
    weight_std: float,
    bias_std: float,
    options: Mapping[str, OptionValue | Callable[[jax.Array], jax.Array]],
) -> Hyperparameters:
    """All of them, options complete; see `Network.build`.

    Raises:
        SpecError: A number is out of range, or an option is unknown.
    """
    shape = tuple(input_dim) if isinstance(input_dim, Sequence) else (input_dim,)
    for name, value in (
        ("width", width),
        ("output_dim", output_dim),
        *(("input_dim", size) for size in shape or (0,)),
    ):
        check_size(name, value)
    check_size("input_dim", math.prod(shape))
    for name, std in (("weight_std", weight_std), ("bias_std", bias_std)):
        check_number(
            name,
            std,
            lambda s: s == 0 or _SMALLEST <= s <= _LARGEST,
            f"a finite number ≥ 0, from {_SMALLEST:g} to {_LARGEST:g} unless it is 0",
        )
    if weight_std == 0:
        raise SpecError("`weight_std` is 0; the output would be its bias alone")
    unknown = set(options) - set(architecture.options)
    if unknown:
        known = [*architecture.options, *_COMMON]
        near = [_ELSEWHERE[name] for name in sorted(unknown & set(_ELSEWHERE))]
        near += [m for n in unknown for m in get_close_matches(n, known, 1, 0.7)]
        names = sorted(architecture.options) or "none"
        raise SpecError(
            f"architecture {architecture.name!r} has no option "
            f"{sorted(unknown)}{f' (did you mean {near[0]!r}?)' if near else ''}; "
            f"it has {names} beside {', '.join(_COMMON)}"
        )
    values = {
        name: option.validate(name, options.get(name, option.default))
        for name, option in architecture.options.items()
    }
    return Hyperparameters(
        width=int(width),
        input_dim=math.prod(map(int, shape)),
        input_shape=tuple(map(int, shape)),
        output_dim=int(output_dim),
        weight_std=float(weight_std),
        bias_std=float(bias_std),
        options=MappingProxyType(values),
    )

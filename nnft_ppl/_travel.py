"""Objects on their way to another process: what `pickle` and `copy` take of them.

In: a frozen dataclass. Out: what its `__reduce__` or `__getstate__` returns. What a
plugin supplies goes by name (`nnft_ppl.registry`), all else by the values of its
fields, functions among them by module and name. A function without a module, such as a
lambda, pickle cannot take; cloudpickle, which Dask and joblib use, takes its code.
"""

import copyreg
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Never

from nnft_ppl._errors import PluginError, SpecError

type Reduced = tuple[Any, ...]


def by_fields(thing: Any) -> Reduced:
    """For `__reduce__`: made again of its fields, whatever it keeps beside them."""
    return _made, (None, type(thing), fields_alone(thing))


def by_value(thing: Any, what: str, remedy: str) -> Reduced:
    """The same for what holds functions of a user.

    Args:
        thing: A frozen dataclass.
        what: What it is, for the message.
        remedy: What would make it travel.

    Raises:
        SpecError: From pickle, not from cloudpickle, where a function of it has no
            module to be found in.
    """
    made, (_, kind, values) = by_fields(thing)
    try:
        pickle.dumps(values)
    except SpecError as error:  # of a part that is by value itself
        message = str(error)
    except Exception as error:  # pickle raises three kinds, and a user's object any
        message = (
            f"{what} cannot be pickled ({error}); {remedy}, build it in the process "
            "that uses it, or pickle with cloudpickle, as Dask and joblib do"
        )
    else:
        return made, (None, kind, values)
    # First, so that pickle meets it before the function.
    return made, (_Refusal("NoPickle", (), {"message": message}), kind, values)


def fields_alone(thing: Any) -> dict[str, Any]:
    """For `__getstate__`: the fields without what was computed from them since."""
    found = {field.name: getattr(thing, field.name) for field in fields(thing)}
    return {
        name: dict(value) if isinstance(value, MappingProxyType) else value
        for name, value in found.items()
    }


def _made[T](_: object, kind: type[T], values: Mapping[str, Any]) -> T:
    return kind(
        **{
            name: MappingProxyType(value) if isinstance(value, dict) else value
            for name, value in values.items()
        }
    )


class _Refusal(type):
    """The kind of a class that refuses to be pickled.

    pickle asks `copyreg` about it and cloudpickle, which takes every class, does not:
    the one difference between them that an object can tell.
    """

    message: str


def _refuse(refusal: _Refusal) -> Never:
    raise SpecError(refusal.message)


copyreg.pickle(_Refusal, _refuse)


def check_same_options(name: str, sent: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a pickled network whose options its architecture here has not.

    Raises:
        PluginError: Its plugin here has other options.
    """
    if set(sent) != set(known):
        raise PluginError(
            f"a network of architecture {name!r} was pickled with the options "
            f"{sorted(sent)} and its plugin here has {sorted(known)}; install the same "
            "version of the plugin on both sides"
        )

"""Parameters as NumPyro has them: names of sites, plates, axes of samples.

In: a plugin's prior, and values from wherever NumPyro gives them. Out: parameters of
one network, as the plugin's forward pass takes them. A plugin need know nothing of
plates, nor of the axes that samples have in front.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.extend.core import Var
from numpyro import handlers
from numpyro.primitives import Messenger

from nnft_ppl._errors import SpecError
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Key, Params

type Shape = tuple[int, ...]


def parameter_name(path: tuple[Any, ...]) -> str:
    """Name of the leaf at a key path, and of its site, such as `layers.0.weight`."""
    return jax.tree_util.keystr(path, simple=True, separator=".") or "params"


def parameters_by_name(params: Params) -> dict[str, Any]:
    """Name -> leaf. Of samples by site name and of the pytree itself it is the same."""
    leaves = jax.tree.leaves_with_path(params)
    return {parameter_name(path): leaf for path, leaf in leaves}


def _is_seeded() -> bool:
    """Whether a handler around gives random keys; takes one of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # NumPyro's, where none does
        return numpyro.prng_key() is not None


@dataclass(frozen=True)
class Layout:
    """Of the parameters of one network.

    Attributes:
        prior: The plugin's, a NumPyro model.
        structure: Of the pytree that it returns.
        shapes: Name -> shape, in the order of the structure's leaves.
        site_dims: Sample site -> number of axes of its value.
    """

    prior: Callable[[], Params]
    structure: jax.tree_util.PyTreeDef
    shapes: Mapping[str, Shape]
    site_dims: Mapping[str, int]

    @staticmethod
    def of(prior: Callable[[], Params]) -> "Layout":
        """By one abstract run, which handlers around the caller do not see."""
        site_dims: dict[str, int] = {}

        def draw(key: Key) -> Params:
            traced = handlers.trace(handlers.seed(prior, key))
            params = traced()
            for name, site in traced.trace.items():
                if site["type"] == "sample":
                    site_dims[name] = jnp.ndim(site["value"])
            return params

        with handlers.block():
            params = jax.eval_shape(draw, seed_key(0))
        shapes = {n: leaf.shape for n, leaf in parameters_by_name(params).items()}
        return Layout(prior, jax.tree.structure(params), shapes, site_dims)

    def sample(self) -> Params:
        """Sample the parameters; plates around the call add axes in front of each.

        What is not random, such as a bias of standard deviation 0, is a deterministic
        site: NUTS has nothing to move there.

        Raises:
            SpecError: Nothing around the call gives a random key.
        """
        sites = _WholeSites(self.prior, self.site_dims)
        try:
            params = sites()
        except AssertionError as error:
            if _is_seeded():
                raise
            raise SpecError(
                "the prior is sampled where nothing gives a random key; call it in a "
                "NumPyro model, or as numpyro.handlers.seed(net.prior, key)()"
            ) from error
        if not sites.fixed:
            return params
        fixed = {
            name: numpyro.deterministic(
                name,
                jnp.broadcast_to(value, sites.batch + sites.own_shape(value, name)),
            )
            for name, value in sites.fixed.items()
        }
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: fixed.get(parameter_name(path), leaf), params
        )

    def over_networks(
        self, function: Callable[[Params], jax.Array], params: Params
    ) -> jax.Array:
        """function(parameters of one network), over the axes that all have in front.

        Args:
            function: For JAX to vectorise.
            params: As the prior returns them, or by site name. Other names are passed
                over: samples of a model hold more than a network.

        Raises:
            SpecError: One is missing, is not of its shape, or has other axes in front.
        """
        given = parameters_by_name(params)
        missing = [name for name in self.shapes if name not in given]
        if missing:
            raise SpecError(
                f"the parameters lack {missing}; there are {sorted(given)}. Give what "
                "`prior` returns, or samples by the names of its sites, without the "
                "prefix of a scope"
            )
        leading = {
            name: _leading_axes(name, jnp.shape(given[name]), shape)
            for name, shape in self.shapes.items()
        }
        batch = next(iter(leading.values()), ())
        if len(set(leading.values())) > 1:
            raise SpecError(
                f"the parameters have different axes in front of their own: {leading}; "
                "expected the same for all, those of the networks. Repeat what "
                "networks share with jnp.broadcast_to"
            )
        for _ in batch:
            function = jax.vmap(function)
        leaves = [given[name] for name in self.shapes]
        return function(jax.tree.unflatten(self.structure, leaves))


def _leading_axes(name: str, shape: Shape, own: Shape) -> Shape:
    """Those in front of a parameter's own."""
    number = len(shape) - len(own)
    if number < 0 or shape[number:] != own:
        raise SpecError(
            f"the parameter {name!r} has shape {shape}; expected {own} of one network, "
            "or the same with axes of several networks in front. Is it of another "
            "width or input_dim?"
        )
    return shape[:number]


def unused_arguments(
    function: Callable[..., jax.Array], *arguments: jax.ShapeDtypeStruct
) -> tuple[bool, ...]:
    """Of which arguments the result does not depend, by the program that computes it.

    An argument that has no influence on a value, such as the weights of a unit that is
    off, is used nevertheless.
    """
    with handlers.block():
        program = jax.make_jaxpr(function)(*arguments).jaxpr
    needed = {v for v in program.outvars if isinstance(v, Var)}
    for equation in reversed(program.eqns):
        if needed.intersection(equation.outvars):
            needed.update(v for v in equation.invars if isinstance(v, Var))
    return tuple(variable not in needed for variable in program.invars)


def standard_deviations(prior: Callable[[], Params]) -> dict[str, np.ndarray]:
    """Sample site -> standard deviation of its entries, or one number for all alike.

    NaN where a law does not tell it, or where it depends on other sites; infinite where
    there is none.
    """

    def of(seed: int) -> dict[str, np.ndarray]:
        with handlers.block():
            trace = handlers.trace(handlers.seed(prior, seed_key(seed))).get_trace()
        return {
            name: np.asarray(_deviation(site["fn"]))
            for name, site in trace.items()
            if site["type"] == "sample"
        }

    # A caller may be tracing, and a deviation is squared and divided by.
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        one, other = of(0), of(1)
    found = {
        name: np.where(one[name] == other[name], one[name], np.nan) for name in one
    }
    return {
        name: std.flat[:1].reshape(())
        if std.size and (std == std.flat[0]).all()
        else std
        for name, std in found.items()
    }


def _deviation(law: Any) -> np.ndarray:
    """Of what is expanded, declared an event, or scaled and moved, too."""
    if isinstance(law, (dist.ExpandedDistribution, dist.Independent)):
        inner = np.asarray(_deviation(law.base_dist))
        return np.broadcast_to(inner, law.batch_shape + law.event_shape)
    if isinstance(law, dist.TransformedDistribution) and all(
        isinstance(part, dist.transforms.AffineTransform) for part in law.transforms
    ):
        found = _deviation(law.base_dist)
        for part in law.transforms:
            found = np.abs(np.asarray(part.scale)) * found
        return np.asarray(found)
    try:
        return np.asarray(np.sqrt(np.asarray(law.variance, np.float64)))
    except NotImplementedError:  # NumPyro's word for a variance that it does not know
        return np.asarray(np.nan)


class _WholeSites(Messenger):  # type: ignore[misc]
    """Around a prior: each of its sites is one parameter, and no handler divides it.

    To plates outside, all axes that a site has by itself belong to its event, so that
    they add theirs in front, and plates inside the prior do not count as axes.

    Attributes:
        fixed: Site -> value, of those that are not random; handlers outside do not see
            them.
        batch: The axes that plates outside add.
    """

    def __init__(
        self, prior: Callable[[], Params], site_dims: Mapping[str, int]
    ) -> None:
        """For one call."""
        self.site_dims = site_dims
        self.fixed: dict[str, jax.Array] = {}
        self.batch: Shape = ()
        self._current: Any = None
        self._name = ""
        self._inner_plates = 0
        super().__init__(prior)

    def own_shape(self, value: jax.Array, name: str) -> Shape:
        """The shape of a site's value without the axes of plates outside."""
        return value.shape[value.ndim - self.site_dims[name] :]

    def process_message(self, msg: dict[str, Any]) -> None:
        """Before plates and other handlers outside see a site of the prior."""
        if self._current is not None or msg.get("_control_flow_done", False):
            return  # it comes from a handler outside, which works on a site of ours
        if msg["type"] == "plate":
            self._current, self._inner_plates = msg, len(msg["cond_indep_stack"])
        elif msg["type"] == "sample" and msg["name"] in self.site_dims:
            self._current, self._name = msg, msg["name"]
            law = msg["fn"].expand(
                msg["kwargs"]["sample_shape"] + msg["fn"].batch_shape
            )
            msg["kwargs"]["sample_shape"] = ()
            msg["cond_indep_stack"] = []
            if msg["value"] is None and _is_fixed(law):
                numpyro.prng_key()  # the one that it would take if it were drawn
                msg["value"] = self.fixed[msg["name"]] = law.mean
                msg["stop"] = True
            msg["fn"] = law.to_event(self.site_dims[msg["name"]] - law.event_dim)

    def postprocess_message(self, msg: dict[str, Any]) -> None:
        """After plates and other handlers outside."""
        if msg is not self._current:
            return
        self._current = None
        if msg["type"] == "plate":
            # It has the axis that it would have if there were no plates outside.
            del msg["cond_indep_stack"][self._inner_plates :]
        else:
            shape = jnp.shape(msg["value"])
            axes = shape[: len(shape) - self.site_dims[self._name]]
            self.batch = max(self.batch, axes, key=len)


def _is_fixed(law: Any) -> bool:
    """Whether it is a point mass, or a normal law of standard deviation 0."""
    while isinstance(law, (dist.ExpandedDistribution, dist.Independent)):
        law = law.base_dist
    if isinstance(law, dist.Delta):
        return True
    return (
        isinstance(law, dist.Normal)
        and not isinstance(law.scale, jax.core.Tracer)
        and not np.any(law.scale)
    )

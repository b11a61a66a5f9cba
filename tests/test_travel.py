"""Objects go to other processes and come back, and are copied."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import nnft_ppl as nnft
from nnft_ppl.adapters.priors import sample_tree
from nnft_ppl.correlators.sampled.measure import SamplingInterrupted
from nnft_ppl.inference.outputs.design import scaled_design
from nnft_ppl.store import UncheckedFileWarning

X = np.array([0.2, 0.6, 1.0])
CUTOFFS = [1.5, 5.0, 20.0, 80.0]


def erf_net(width=5):
    return nnft.network("erf-net", width=width, input_dim=1)


def exact(net):
    return nnft.exact_correlators(net, X, (2, 4))


def exact_at(width):
    return exact(erf_net(width))


@pytest.fixture(scope="module")
def objects():
    """One of every kind that holds a network."""
    key, action = jax.random.key(0), nnft.Action(["lambda_0"])
    correlators = exact(erf_net())

    def drawn(*shape):
        return np.random.default_rng(0).uniform(0.5, 1.0, shape)

    return {
        "ensemble": nnft.sample_ensemble(erf_net(), X, 50, key=key),
        "correlators": correlators,
        "fit": nnft.fit_couplings(
            correlators, action, CUTOFFS, key=key, sampler="conjugate", num_samples=20
        ),
        # These two are by NUTS alone; their draws are of no matter here.
        "running": nnft.RunningFit(
            correlators=correlators,
            action=action,
            cutoffs=tuple(CUTOFFS),
            has_curvature=True,
            coupling=drawn(4, 1),
            relative_error=drawn(4, 1),
            noise=drawn(1),
            log_amplitude=drawn(1, 9, 1),
            exponent=drawn(1, 9, 1),
            curvature=drawn(1, 9, 1),
            scatter=drawn(1, 9, 1),
            statistics={"diverging": np.zeros((1, 9), bool)},
        ),
        "function space": nnft.FunctionSpaceFit(
            network=erf_net(),
            x=X[:, None],
            num_draws=50,
            action=action,
            cutoffs=(10.0,),
            prior=nnft.Prior(),
            scale=scaled_design(action, erf_net(), X[:, None], (10.0,))[1],
            dimensionless=drawn(1, 9, 1, 1),
            statistics={"diverging": np.zeros((1, 9, 1), bool)},
            bound=drawn(1, 1),
            p_value=drawn(1),
            negative_at_mean=drawn(1),
            negative_over_posterior=drawn(1),
            modes_kept=3,
            modes_dropped=0,
        ),
    }


KINDS = ("ensemble", "correlators", "fit", "running", "function space")
WAYS = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "cloudpickle": lambda thing: pickle.loads(cloudpickle.dumps(thing)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_object_comes_back_as_it_was(objects, kind, way):
    thing = objects[kind]
    back = WAYS[way](thing)
    assert type(back) is type(thing)
    assert repr(back) == repr(thing)
    assert back.data.equals(thing.data)
    assert back.data.attrs == thing.data.attrs


def test_what_was_computed_since_is_not_pickled(objects):
    fit = copy.copy(objects["fit"])
    small = len(pickle.dumps(fit))
    assert fit.data  # predictive draws and pointwise likelihoods of every cutoff
    assert len(pickle.dumps(fit)) == small


@pytest.mark.parametrize("kind", ["ensemble", "correlators", "function space"])
def test_data_that_say_all_are_read_as_what_they_are_of(objects, kind, tmp_path):
    objects[kind].data.to_netcdf(tmp_path / "data.nc")
    with pytest.warns(UncheckedFileWarning, match="was written without a seal"):
        back = nnft.load(tmp_path / "data.nc")
    assert type(back) is type(objects[kind])
    assert back.data.equals(objects[kind].data)


@pytest.mark.parametrize("kind", ["fit", "running"])
def test_data_of_a_fit_are_not_taken_for_a_damaged_fit(objects, kind, tmp_path):
    objects[kind].data.to_netcdf(tmp_path / "data.nc")
    with (
        pytest.warns(UncheckedFileWarning, match="was written without a seal"),
        pytest.raises(nnft.SpecError, match=r"' holds what ArviZ.*fit\.save\("),
    ):
        nnft.load(tmp_path / "data.nc")


def test_data_of_one_cutoff_are_not_taken_for_a_fit(objects, tmp_path):
    objects["fit"].at(5.0).to_netcdf(tmp_path / "data.nc")
    with pytest.raises(nnft.SpecError, match=r"one saved by.*the method `save`"):
        nnft.load(tmp_path / "data.nc")


@pytest.mark.parametrize("name", sorted(nnft.architectures()))
def test_a_network_goes_by_the_name_of_its_plugin(name):
    if name == "conv-net":
        net = nnft.network(name, width=4, input_dim=(6, 6, 1))
    elif name == "attention":
        net = nnft.network(name, width=4, input_dim=(3, 2))
    else:
        net = nnft.network(name, width=4, input_dim=1)
    pickled = pickle.dumps(net)
    assert len(pickled) < 1500
    back = pickle.loads(pickled)
    assert back == net
    assert hash(back) == hash(net)
    assert back.architecture is net.architecture  # nothing is compiled again


def test_compiled_kernels_stay_behind_and_copies_share_them():
    net = erf_net()
    expected = net.kernel(X)
    assert (pickle.loads(pickle.dumps(net)).kernel(X) == expected).all()
    assert copy.deepcopy(net) is net
    assert copy.copy(net) is net


def test_a_process_pool_takes_networks_and_gives_correlators():
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        there = pool.submit(exact, erf_net())
        built_there = pool.submit(exact_at, 7)
        for found, expected in ((there, exact(erf_net())), (built_there, exact_at(7))):
            assert found.result().data.equals(expected.data)
            assert found.result().network == expected.network


def swish(z):
    return z * jax.nn.sigmoid(z)


def test_an_activation_of_a_module_goes_by_reference():
    net = nnft.network("mlp", width=4, input_dim=1, activation=swish)
    back = pickle.loads(pickle.dumps(net))
    assert back == net
    assert back.hyperparameters.options["activation"].function is swish


def tanh_unit(hp, params, x):
    return jnp.sum(params["a"] * jnp.tanh(x[0] * params["b"]), keepdims=True)


def shifted_kernel(hp, x, y, *, key):
    return jnp.vdot(x, y) + jax.random.uniform(key)


def of_a_module():
    """By hand, with distributions and a key in it, and all functions in a module."""
    priors = {name: dist.Normal().expand([3]).to_event(1) for name in "ab"}
    return nnft.Architecture(
        name="of-a-module",
        description="",
        prior=partial(sample_of, priors),
        apply=tanh_unit,
        kernel=partial(shifted_kernel, key=jax.random.key(3)),
        options={"size": nnft.Option(default=1.0, help="none")},
    )


def sample_of(priors, hp):
    return sample_tree("of-a-module", priors)


def test_what_is_in_a_module_goes_by_value():
    net = nnft.Network.build(of_a_module(), width=3, input_dim=1, size=2.0)
    back = pickle.loads(pickle.dumps(net))
    assert back.to_json() == net.to_json()
    assert (back.kernel(X) == net.kernel(X)).all()
    with pytest.raises(TypeError, match="does not support item assignment"):
        back.hyperparameters.options["size"] = 3.0
    key = jax.random.key(0)
    values, expected = (nnft.sample_ensemble(n, X, 9, key=key) for n in (back, net))
    assert (values.values == expected.values).all()


def by_closure():
    priors = {name: dist.Normal().expand([3]).to_event(1) for name in "ab"}
    architecture = nnft.architecture_from_function(
        "closure", lambda params, x: tanh_unit(None, params, x), priors, width=3
    )
    return nnft.Network.build(architecture, width=3, input_dim=1)


def user_operator():
    return nnft.Operator(
        name="mine", symbol="m", fields=(0,) * 4, weight=lambda y: y[..., 0] ** 2
    )


REFUSED = {
    "network": (by_closure, r"architecture 'closure', which is of no.*nnft new-plugin"),
    "ensemble": (
        lambda: nnft.Ensemble(by_closure(), X[:, None], np.zeros((1, 3, 1))),
        r"architecture 'closure'.*\(.*\); make it one with .*, or pickle with cloudpi",
    ),
    "action": (
        lambda: nnft.Action(["lambda_0", user_operator()]),
        r"operator 'mine' cannot be pickled \(.*; define its functions at the top of",
    ),
    "activation": (
        lambda: nnft.network(
            "mlp",
            width=3,
            input_dim=1,
            activation=nnft.Activation(name="square", function=lambda z: z * z),
        ),
        r"activation 'square' cannot be pickled \(.*; define its functions at the top",
    ),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_pickle_cannot_take_is_named(make, message):
    thing = make()
    with pytest.raises(nnft.SpecError, match=message):
        pickle.dumps(thing)
    # Within the process it is copied, and cloudpickle takes its code along.
    for way in ("copy", "deepcopy", "cloudpickle"):
        assert repr(WAYS[way](thing)) == repr(thing)


def test_code_taken_along_runs_as_it_did():
    net, key = by_closure(), jax.random.key(0)
    back = WAYS["cloudpickle"](net)
    values, expected = (nnft.sample_ensemble(n, X, 9, key=key) for n in (back, net))
    assert (values.values == expected.values).all()


ARCHITECTURE = """
import nnft_ppl as nnft, numpyro, numpyro.distributions as dist

@nnft.hookimpl
def nnft_ppl_architecture():
    return nnft.Architecture(
        name="far-net", description="", apply=lambda hp, p, x: p * x,
        prior=lambda hp: numpyro.sample("p", dist.Normal()),
        options={OPTIONS})
"""
OPERATOR = """
import nnft_ppl as nnft

@nnft.hookimpl
def nnft_ppl_operator():
    return nnft.Operator(name="far", symbol="f", fields=(0,) * 4,
                         weight=lambda y: y[..., 0])
"""


def test_what_is_of_a_plugin_needs_it_on_the_other_side(install_plugins, monkeypatch):
    with_size = "{'size': nnft.Option(default=1, help='')}"
    install_plugins(
        "far",
        {"far-net": ARCHITECTURE.replace("{OPTIONS}", with_size), "far": OPERATOR},
    )
    net = nnft.network("far-net", width=3, input_dim=1, size=2)
    action = nnft.Action(["far", "lambda_2"], measure=nnft.Empirical([[1.0]]))
    pickled = [pickle.dumps(thing) for thing in (net, action)]
    assert [pickle.loads(one) for one in pickled] == [net, action]
    assert not pickle.loads(pickled[1]).measure.points.flags.writeable
    monkeypatch.setenv("NNFT_PPL_DISABLE_PLUGINS", "far,far-net")
    with pytest.raises(nnft.PluginError, match=r"no architecture 'far-net'.*install h"):
        pickle.loads(pickled[0])
    with pytest.raises(nnft.PluginError, match=r"no operator 'far'; there.*install he"):
        pickle.loads(pickled[1])


def test_a_plugin_of_other_options_is_refused(install_plugins, monkeypatch):
    with_size = "{'size': nnft.Option(default=1, help='')}"
    install_plugins("far", {"far-net": ARCHITECTURE.replace("{OPTIONS}", with_size)})
    pickled = pickle.dumps(nnft.network("far-net", width=3, input_dim=1))
    monkeypatch.undo()
    install_plugins("near", {"far-net": ARCHITECTURE.replace("{OPTIONS}", "{}")})
    with pytest.raises(
        nnft.PluginError, match=r"options \['size'\] and its plugin here has \[\]; inst"
    ):
        pickle.loads(pickled)


def test_errors_come_out_of_pools():
    interrupted = SamplingInterrupted(1234, None, exact(erf_net()))
    back = pickle.loads(pickle.dumps(interrupted))
    assert str(back) == "interrupted after 1,234 networks"
    assert back.correlators.network == interrupted.correlators.network
    assert str(pickle.loads(pickle.dumps(nnft.SpecError("so")))) == "so"

"""Reading back objects of networks that no plugin supplies."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import nnft_ppl as nnft
from nnft_ppl.adapters.function import architecture_from_function
from nnft_ppl.registry import network_from_json

X = np.array([0.2, 0.6, 1.0])


def by_hand(**sizes):
    """The ReLU-net under another name, with all that is known of it."""
    plugin = nnft.architectures()["relu-net"]
    arch = architecture_from_function(
        "by-hand",
        lambda p, x: jnp.maximum(x @ p["W0"] + p["b0"], 0) @ p["W1"] + p["b1"],
        lambda hp: {
            "W0": dist.Normal(0, hp.input_dim**-0.5).expand((hp.input_dim, hp.width)),
            "b0": dist.Normal(0, hp.bias_std).expand((hp.width,)),
            "W1": dist.Normal(0, hp.width**-0.5).expand((hp.width, 1)),
            "b1": dist.Normal(0, hp.bias_std).expand((1,)),
        },
        kernel=plugin.kernel,
        readout=plugin.readout,
        neuron=plugin.neuron,
        symmetries=plugin.symmetries,
    )
    return nnft.Network.build(arch, **{"width": 4, "input_dim": 1, **sizes})


@pytest.fixture(scope="module")
def net():
    return by_hand(bias_std=0.5)


def objects(net):
    correlators = nnft.exact_correlators(net, X, (2, 4))
    action = nnft.Action(["lambda_0"])
    key = jax.random.key(0)
    cutoffs = [1.5, 5.0, 20.0, 80.0]
    sizes = {"num_warmup": 50, "num_samples": 50, "num_chains": 1}
    ensemble = nnft.sample_ensemble(net, X, 50, key=key)
    yield ensemble
    yield nnft.fit_function_space(ensemble, action, [10.0], key=key, **sizes)
    yield correlators
    yield nnft.fit_couplings(
        correlators, action, cutoffs, key=key, sampler="conjugate", num_samples=50
    )
    yield nnft.fit_running(correlators, action, cutoffs, key=key, **sizes)


def network_of(thing):
    return thing.correlators.network if hasattr(thing, "correlators") else thing.network


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*(R-hat|converge|divergen)")
def test_every_object_comes_back_with_the_network_given(net, tmp_path):
    for i, saved in enumerate(objects(net)):
        path = tmp_path / f"{i}.nc"
        saved.save(path)
        with pytest.raises(nnft.PluginError, match=r"'by-hand'.*pass it as network="):
            nnft.load(path)
        back = nnft.load(path, network=net)
        assert type(back) is type(saved)
        assert network_of(back) is net
        # An equal network, built again, serves as well.
        nnft.load(path, network=by_hand(bias_std=0.5))


def test_another_network_is_refused_and_what_differs_is_listed(net, tmp_path):
    nnft.exact_correlators(net, X).save(tmp_path / "c.nc")
    with pytest.raises(
        nnft.SpecError,
        match=r"bias_std is 0\.5 in the file and 0\.25 in `network`; "
        r"width is 4 in the file and 5 in `network`$",
    ):
        nnft.load(tmp_path / "c.nc", network=by_hand(width=5, bias_std=0.25))
    plugin = nnft.network("relu-net", width=4, input_dim=1, bias_std=0.5)
    with pytest.raises(
        nnft.SpecError,
        match=r"architecture is 'by-hand' in the file and 'relu-net' in `network`$",
    ):
        nnft.load(tmp_path / "c.nc", network=plugin)


def test_an_installed_network_may_be_given_too(tmp_path):
    net = nnft.network("relu-net", width=4, input_dim=1)
    nnft.exact_correlators(net, X).save(tmp_path / "c.nc")
    assert nnft.load(tmp_path / "c.nc", network=net).network is net


PLUGIN = """
import jax.numpy as jnp, numpyro, numpyro.distributions as dist, nnft_ppl as nnft
PHI = {"abs": jnp.abs, "cube": lambda z: z**3}

def apply(hp, w, x):
    phi = hp.options["activation"]
    return phi.function(w * x) if isinstance(phi, nnft.Activation) else PHI[phi](w * x)

@nnft.hookimpl
def nnft_ppl_architecture():
    return nnft.Architecture(
        name="any-net", description="", apply=apply,
        prior=lambda hp: numpyro.sample("w", dist.Normal()),
        options={"activation": nnft.Option(
            default="abs", help="phi", choices=tuple(PHI), activation=True)})
"""


def test_a_function_as_an_option_needs_the_network(install_plugins, tmp_path):
    install_plugins("any", {"any-net": PLUGIN})

    def swish(z):
        return z * jax.nn.sigmoid(z)

    net = nnft.network("any-net", width=4, input_dim=1, activation=swish)
    saved = nnft.sample_ensemble(net, X, 50, key=jax.random.key(0))
    saved.save(tmp_path / "e.nc")
    with pytest.raises(
        nnft.SpecError,
        match=r"`activation` is 'swish'; choose one of \['abs', 'cube'\].*network=",
    ):
        nnft.load(tmp_path / "e.nc")
    back = nnft.load(tmp_path / "e.nc", network=net)
    assert (back.values == saved.values).all()
    other = nnft.network("any-net", width=4, input_dim=1, activation="cube")
    with pytest.raises(nnft.SpecError, match="activation is 'swish' in the file and"):
        nnft.load(tmp_path / "e.nc", network=other)


def test_options_that_one_side_lacks_are_named():
    net = nnft.network("relu-net", width=4, input_dim=1)
    record = json.loads(net.to_json()) | {"options": {"depth": 2}}
    with pytest.raises(nnft.SpecError, match=r"depth is 2 in the file and 'absent'"):
        network_from_json(record, net)

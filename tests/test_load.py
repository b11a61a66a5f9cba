"""Reading back objects of networks that no plugin supplies."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import nnft_ppl as nnft
from nnft_ppl import store
from nnft_ppl.adapters.function import architecture_from_function
from nnft_ppl.ensemble import fingerprint
from nnft_ppl.registry import network_from_json

X = np.array([0.2, 0.6, 1.0])


def relu(z):
    return jnp.maximum(z, 0)


def by_hand(name="by-hand", phi=relu, weight=dist.Normal, **sizes):
    """The ReLU-net under another name, with all that is known of it."""
    plugin = nnft.architectures()["relu-net"]
    arch = architecture_from_function(
        name,
        lambda p, x: phi(x @ p["W0"] + p["b0"]) @ p["W1"] + p["b1"],
        lambda hp: {
            "W0": weight(0, hp.input_dim**-0.5).expand((hp.input_dim, hp.width)),
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


OTHERS = {
    "leaky": {"phi": lambda z: jnp.where(z > 0, z, 0.001 * z)},
    "scaled": {"phi": lambda z: 1.001 * relu(z)},
    "prior": {"weight": dist.Laplace},
    "nan": {"phi": lambda z: jnp.nan * z},
}
"""Other functions under the same name and hyperparameters."""
OTHER = r"not the one on file, though both are Network\('by-hand'.* with the code"


def of_a_file(net):
    """An object of the network, without a fit to raw outputs, which takes long."""
    correlators = nnft.exact_correlators(net, X, (2, 4))
    yield correlators
    yield nnft.sample_ensemble(net, X, 3, key=jax.random.key(0))
    yield nnft.fit_couplings(
        correlators,
        nnft.Action(["lambda_0"]),
        [10.0],
        key=jax.random.key(0),
        sampler="conjugate",
        num_samples=50,
    )


@pytest.fixture(scope="module")
def files(net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    paths = []
    for number, saved in enumerate(of_a_file(net)):
        paths.append(folder / f"{number}.nc")
        saved.save(paths[-1])
    return paths


@pytest.mark.parametrize("other", OTHERS)
def test_another_function_of_the_same_name_is_refused(files, other):
    for path in files:
        with pytest.raises(nnft.SpecError, match=OTHER):
            nnft.load(path, network=by_hand(bias_std=0.5, **OTHERS[other]))


def test_the_same_function_built_anew_is_accepted(files):
    for path in files:
        again = by_hand(bias_std=0.5, phi=lambda z: (z + jnp.abs(z)) / 2)
        nnft.load(path, network=again)


def test_the_name_of_a_plugin_does_not_make_a_function_its_network(tmp_path):
    installed = nnft.network("relu-net", width=4, input_dim=1, bias_std=0.5)
    leaky = by_hand("relu-net", bias_std=0.5, **OTHERS["leaky"])
    nnft.exact_correlators(installed, X).save(tmp_path / "plugin.nc")
    with pytest.raises(nnft.SpecError, match="not the one on file"):
        nnft.load(tmp_path / "plugin.nc", network=leaky)
    nnft.sample_ensemble(leaky, X, 3, key=jax.random.key(0)).save(tmp_path / "own.nc")
    for given in (None, installed):
        with pytest.raises(nnft.SpecError, match="not the one on file"):
            nnft.load(tmp_path / "own.nc", network=given)
    assert nnft.load(tmp_path / "own.nc", network=leaky).network is leaky


def test_networks_of_plugins_are_not_drawn_to_be_saved(monkeypatch):
    def drawn(network):
        raise AssertionError("a network was drawn")

    monkeypatch.setattr(fingerprint, "fingerprint", drawn)
    net = nnft.network("relu-net", width=4, input_dim=1)
    assert fingerprint.network_record(net)["fingerprint"] is None


def changed(path, change):
    """The file with its record changed."""
    tree = store.read(path)
    record = store.metadata(tree)
    change(record)
    tree.attrs["nnft_ppl"] = json.dumps(record)
    store.write(tree, path)


def test_a_file_without_values_says_that_they_were_not_compared(net, tmp_path):
    path = tmp_path / "c.nc"
    nnft.exact_correlators(net, X).save(path)
    changed(path, lambda record: record.pop("fingerprint"))
    with pytest.warns(
        fingerprint.UncheckedNetworkWarning, match="no values of Network.*left to you"
    ):
        nnft.load(path, network=net)


def test_values_drawn_by_another_jax_are_not_held_against_a_network(net, tmp_path):
    path = tmp_path / "c.nc"
    nnft.exact_correlators(net, X).save(path)
    changed(path, lambda record: record["versions"].update(jax="0.1"))
    assert nnft.load(path, network=net).network is net
    with pytest.warns(fingerprint.UncheckedNetworkWarning, match=r"Or JAX 0\.1, which"):
        nnft.load(path, network=by_hand(bias_std=0.5, **OTHERS["leaky"]))


def test_sums_are_not_gone_on_with_by_another_function(net, tmp_path):
    def run(network, num_draws):
        return nnft.measure_correlators(
            network,
            X,
            2,
            num_draws=num_draws,
            key=jax.random.key(0),
            generator="jax",
            checkpoint=tmp_path / "sums",
        )

    run(net, 600)
    assert run(by_hand(bias_std=0.5), 1200).num_draws == 1200
    with pytest.raises(nnft.SpecError, match=OTHER):
        run(by_hand(bias_std=0.5, **OTHERS["leaky"]), 1800)


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
    other = nnft.network(
        "any-net",
        width=4,
        input_dim=1,
        activation=nnft.Activation(name="swish", function=jnp.tanh),
    )
    with pytest.raises(nnft.SpecError, match="not the one on file"):
        nnft.load(tmp_path / "e.nc", network=other)
    other = nnft.network("any-net", width=4, input_dim=1, activation="cube")
    with pytest.raises(nnft.SpecError, match="activation is 'swish' in the file and"):
        nnft.load(tmp_path / "e.nc", network=other)


def test_options_that_one_side_lacks_are_named():
    net = nnft.network("relu-net", width=4, input_dim=1)
    record = json.loads(net.to_json()) | {"options": {"depth": 2}}
    with pytest.raises(nnft.SpecError, match=r"depth is 2 in the file and 'absent'"):
        network_from_json(record, net)

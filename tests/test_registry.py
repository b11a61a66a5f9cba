"""Plugins: found from entry points, refused with a reason, isolated from each other."""

import json
import pickle
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.eft.operators import operator
from nnft_ppl.ensemble.fingerprint import network_record
from nnft_ppl.registry import Refusal, load_registry, network_from_json

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
OURS = set(PROJECT["project"]["entry-points"]["nnft_ppl"])
"""What this source declares; the registry asks what is installed."""

ARCHITECTURE = """
import jax.numpy as jnp, numpyro, numpyro.distributions as dist
import nnft_ppl as nnft

def prior(hp):
    return {"a": numpyro.sample("a", dist.Normal().expand([hp.output_dim]).to_event())}

@nnft.hookimpl
def nnft_ppl_architecture():
    return nnft.Architecture(
        name="NAME",
        description="a line through 0",
        prior=prior,
        apply=lambda hp, params, x: hp.weight_std * params["a"] * jnp.sum(x),
        kernel=lambda hp, x, y: hp.weight_std**2 * jnp.sum(x) * jnp.sum(y),
        options={"slope": nnft.Option(default=1.0, help="unused", minimum=0.0)},
    )
"""

OPERATOR = """
import nnft_ppl as nnft

@nnft.hookimpl
def nnft_ppl_operator():
    return nnft.Operator(name="NAME", symbol="s", fields=(0, 0, 0, 0))
"""

BROKEN = "import a_module_that_is_not_there\n"


def refusals() -> dict[str, Refusal]:
    return {refusal.name: refusal for refusal in load_registry().refusals}


def hook(body: str, head: str = "def nnft_ppl_architecture():", mark="nnft.hookimpl"):
    return f"import nnft_ppl as nnft\n\n@{mark}\n{head}\n    {body}\n"


def test_our_architectures_are_found_and_sorted():
    assert set(nnft.architectures()) >= OURS
    assert list(nnft.architectures()) == sorted(nnft.architectures())
    assert not load_registry().refusals


def test_third_party_architecture_is_used_exactly_as_ours(install_plugins):
    install_plugins(
        "thirdparty", {"line-net": ARCHITECTURE.replace("NAME", "line-net")}
    )
    assert set(nnft.architectures()) >= OURS | {"line-net"}
    net = nnft.network("line-net", width=3, input_dim=2, weight_std=2.0, slope=2)
    np.testing.assert_allclose(net.kernel([[1.0, 2.0]], [[0.5, 0.5]]), [[12.0]])
    assert net.hyperparameters.options == {"slope": 2.0}
    assert network_from_json(json.loads(net.to_json())).hyperparameters == (
        net.hyperparameters
    )
    (plugin,) = [p for p in load_registry().plugins if p.name == "line-net"]
    assert plugin.distribution == "thirdparty 1.0"


def test_third_party_operator_is_found(install_plugins):
    install_plugins("thirdparty", {"lambda_x": OPERATOR.replace("NAME", "lambda_x")})
    assert nnft.operators()["lambda_x"].fields == (0, 0, 0, 0)
    assert "lambda_x" not in nnft.architectures()


def test_several_plugins_of_one_distribution_all_load(install_plugins):
    install_plugins(
        "several",
        {
            "line-net": ARCHITECTURE.replace("NAME", "line-net"),
            "lambda_x": OPERATOR.replace("NAME", "lambda_x"),
        },
    )
    assert "line-net" in nnft.architectures()
    assert "lambda_x" in nnft.operators()


def test_of_a_hundred_plugins_one_network_imports_one(install_plugins):
    for i in range(100):
        name = f"line-net-{i}"
        install_plugins(f"of{i}", {name: ARCHITECTURE.replace("NAME", name)})

    def imported():
        return [name for name in sys.modules if re.match(r"of\d+__", name)]

    net = nnft.network("line-net-7", width=3, input_dim=1)
    assert pickle.loads(pickle.dumps(net)) == net
    assert network_record(net)["fingerprint"] is None  # known to be the plugin's
    assert imported() == ["of7__line_net_7"]
    # What there is beside it is looked for where nothing has the name.
    with pytest.raises(nnft.PluginError, match=r"'line-net-99', 'mlp'"):
        nnft.network("line-net-100", width=3, input_dim=1)
    assert len(imported()) == 100


def test_one_name_in_two_distributions_is_given_to_neither(install_plugins):
    source = ARCHITECTURE.replace("NAME", "line-net")
    install_plugins("alpha", {"line-net": source}, "1.2")
    install_plugins("beta", {"line-net": source}, "3.4")
    assert "line-net" not in nnft.architectures()
    with pytest.raises(nnft.PluginError, match=r"claimed by alpha 1\.2 and beta 3\.4"):
        nnft.network("line-net", width=1, input_dim=1)


def test_third_party_cannot_silently_replace_ours(install_plugins):
    install_plugins("intruder", {"relu-net": ARCHITECTURE.replace("NAME", "relu-net")})
    with pytest.raises(
        nnft.PluginError, match=r"claimed by intruder 1\.0 and nnft-ppl \d"
    ):
        nnft.network("relu-net", width=1, input_dim=1)
    assert set(nnft.architectures()) == OURS - {"relu-net"}


def test_a_plugin_that_does_not_import_leaves_the_others_alone(install_plugins):
    install_plugins("bad", {"bad-net": BROKEN})
    install_plugins("good", {"line-net": ARCHITECTURE.replace("NAME", "line-net")})
    assert set(nnft.architectures()) >= OURS | {"line-net"}
    with pytest.raises(
        nnft.PluginError,
        match=r"'bad-net' of bad 1\.0 was refused: its module 'bad__bad_net' does not "
        r"import: ModuleNotFoundError: .*a_module_that_is_not_there",
    ):
        nnft.network("bad-net", width=1, input_dim=1)


REFUSED = {
    "syntax error": ("def (:\n", r"does not import: SyntaxError"),
    "ends the program": ("raise SystemExit(3)\n", r"does not import: SystemExit: 3"),
    "misspelt hook": (
        hook("return None", "def nnft_ppl_architectur():"),
        r"unknown hook 'nnft_ppl_architectur'.*the hooks are \['nnft_ppl_architecture'",
    ),
    "misspelt optional hook": (
        hook(
            "return None",
            "def nnft_ppl_architectur():",
            "nnft.hookimpl(optionalhook=True)",
        ),
        r"implements \['nnft_ppl_architectur'\]; expected one of",
    ),
    "hook with an argument": (
        hook("return None", "def nnft_ppl_architecture(width):"),
        r"nnft_ppl_architecture\(width\).*in the hookspec; .*without arguments",
    ),
    "no hook": ("x = 1\n", r"implements no hook; expected one of .*nnft_ppl\.hookimpl"),
    "hook not marked": (
        "def nnft_ppl_architecture():\n    return None\n",
        r"implements no hook",
    ),
    "two hooks": (
        ARCHITECTURE + OPERATOR,
        r"implements \['nnft_ppl_architecture', 'nnft_ppl_operator'\]; expected one of "
        r".*; give each a module and an entry point",
    ),
    "wrong return type": (
        hook("return {'name': 'some-net'}"),
        r"returned a dict; expected nnft_ppl\.Architecture",
    ),
    "an operator where an architecture belongs": (
        hook("return nnft.Operator(name='some-net', symbol='s', fields=(0, 0))"),
        r"`nnft_ppl_architecture` returned a Operator; expected nnft_ppl\.Architecture",
    ),
    "another name": (
        ARCHITECTURE.replace("NAME", "other-net"),
        r"architecture is named 'other-net' but its entry point 'some-net'",
    ),
    "hook that raises": (
        hook("raise ValueError('no luck')"),
        r"`nnft_ppl_architecture` raised ValueError: no luck",
    ),
    "hook that ends the program": (
        hook("raise SystemExit('bye')"),
        r"`nnft_ppl_architecture` raised SystemExit: bye",
    ),
    "unknown symmetry": (
        ARCHITECTURE.replace("NAME", "some-net").replace(
            'description="a line through 0"',
            'description="", symmetries=frozenset({"parity"})',
        ),
        r"raised PluginError: .*declares symmetries \['parity'\]; known are",
    ),
    "neuron without readout": (
        ARCHITECTURE.replace("NAME", "some-net").replace(
            'description="a line through 0"', 'description="", neuron=lambda hp: None'
        ),
        r"raised PluginError: .*gives neuron without a readout",
    ),
    "operator without fields": (
        OPERATOR.replace("(0, 0, 0, 0)", "()").replace("NAME", "some-net"),
        r"raised SpecError: .*has fields \(\) and 0 .*expected at least one field",
    ),
}


@pytest.mark.parametrize(("source", "reason"), REFUSED.values(), ids=REFUSED)
def test_plugin_is_refused_with_the_reason(install_plugins, source, reason):
    install_plugins("faulty", {"some-net": source}, "0.3")
    assert set(nnft.architectures()) == OURS
    with pytest.raises(
        nnft.PluginError,
        match=rf"(?s)'some-net' of faulty 0\.3 was refused: .*{reason}",
    ):
        nnft.network("some-net", width=1, input_dim=1)


def test_disabled_plugin_is_not_imported(install_plugins, monkeypatch):
    install_plugins(
        "thirdparty", {"line-net": ARCHITECTURE.replace("NAME", "line-net")}
    )
    monkeypatch.setenv("NNFT_PPL_DISABLE_PLUGINS", " line-net ,erf-net,")
    assert set(nnft.architectures()) == OURS - {"erf-net"}
    assert "thirdparty__line_net" not in sys.modules


def test_disabled_broken_plugin_is_not_reported(install_plugins, monkeypatch):
    install_plugins("bad", {"bad-net": BROKEN})
    monkeypatch.setenv("NNFT_PPL_DISABLE_PLUGINS", "bad-net")
    assert not load_registry().refusals


def test_an_entry_point_without_distribution_is_reported_so(monkeypatch):
    entry = EntryPoint("some-net", "no_such_module", "nnft_ppl")
    monkeypatch.setattr("nnft_ppl.registry.entry_points", lambda group: [entry])
    assert refusals()["some-net"].distribution == "an unknown distribution"


def test_unknown_architecture_lists_what_there_is():
    with pytest.raises(
        nnft.PluginError,
        match=re.escape(f"no architecture 'relu'; there are {sorted(OURS)}"),
    ):
        nnft.network("relu", width=1, input_dim=1)


def test_unknown_operator_lists_what_there_is():
    with pytest.raises(
        nnft.PluginError, match=r"no operator 'lambda_9'; there are \[.*'lambda_0'"
    ):
        operator("lambda_9")


def test_importing_the_package_loads_no_plugin_and_no_jax(install_plugins):
    code = (
        "import sys, nnft_ppl; bad = [m for m in sys.modules if m.startswith("
        "('jax._src', 'numpyro', 'arviz', 'matplotlib', 'nnft_ppl_architectures'))]; "
        "sys.exit(repr(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

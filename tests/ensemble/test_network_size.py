"""Networks too large to be drawn are refused before any is."""

import re

import jax
import pytest

import nnft_ppl as nnft
from nnft_ppl.ensemble import network_size

KEY = jax.random.key(0)
POINTS = [0.5, 1.0]


def sample(net, **options):
    return nnft.sample_ensemble(net, POINTS, num_draws=4, key=KEY)


def measure(net, **options):
    return nnft.measure_correlators(net, POINTS, num_draws=200, key=KEY, **options)


@pytest.mark.parametrize(
    ("call", "name", "width", "most"),
    [
        (measure, "relu-net", 2_000_000_000, "134,217,728"),
        (measure, "mlp", 2_000_000_000, "2,147,483,647"),
        (sample, "relu-net", 2_000_000_000, "2,147,483,647"),
        (sample, "mlp", 100_000, "2,147,483,647"),  # 10¹⁰ weights of the second layer
    ],
)
def test_widths_beyond_any_drawing_are_refused(call, name, width, most):
    net = nnft.network(name, width=width, input_dim=1)
    taken = rf"one {name} of width {width:,} takes [\d,]+ numbers, where at most {most}"
    with pytest.raises(nnft.SpecError, match=taken):
        call(net)


def test_a_network_that_memory_does_not_hold_is_refused(monkeypatch):
    net = nnft.network("mlp", width=1000, input_dim=1)  # a million weights and more
    monkeypatch.setattr(network_size, "max_in_flight", lambda devices: 2)
    monkeypatch.setattr(network_size, "host_memory", lambda: 8_000_000)
    with pytest.raises(nnft.SpecError, match=re.escape("0.0 GB with 2 at a time")):
        sample(net)
    monkeypatch.setattr(network_size, "host_memory", lambda: 9_000_000)
    sample(net)
    monkeypatch.setattr(network_size, "host_memory", lambda: None)  # it does not tell
    sample(net)

"""A kernel that is an average over networks, beside closed forms."""

import pickle
from dataclasses import replace
from math import factorial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import nnft_ppl as nnft
from nnft_ppl._measured_kernel import NUM_BLOCKS

X = np.array([-0.5, 0.2, 0.9])


def erf_net(**options: float) -> nnft.Network:
    return nnft.network("erf-net", width=5, input_dim=1, bias_std=0.7, **options)


def line() -> nnft.Network:
    """f(x) = a·x with a ~ N(0, 1) in two dimensions, no readout declared."""
    architecture = nnft.architecture_from_function(
        "line", jnp.dot, dist.Normal().expand([2]).to_event(1), width=1
    )
    return nnft.Network.build(architecture, width=1, input_dim=2)


def key(seed: int) -> jax.Array:
    return jax.random.key(seed)


def test_it_is_the_closed_form_to_its_own_error():
    net = erf_net()
    measured = nnft.measured_kernel(net, 600, key=key(0))
    away = np.linspace(-3, 3, 7)
    error = measured.kernel_error(X, away)
    assert (error > 0).all()
    # 11 degrees of freedom: 5 standard errors are as rare as 3.5 of a normal law.
    gap = np.abs(measured.kernel(X, away) - net.kernel(X, away))
    assert (gap < 5 * error).all()
    assert gap.max() > 0.1 * error.max()  # and the error is no idle bound
    assert error.max() < 0.05 * net.kernel(X, away).max()


def test_without_readout_it_is_the_mean_product_of_outputs():
    points = np.array([[1.0, 0.0], [0.6, 0.8]])
    measured = nnft.measured_kernel(line(), 1200, key=key(1))
    error = measured.kernel_error(points)
    assert (np.abs(measured.kernel(points) - points @ points.T) < 5 * error).all()
    # of a product of two normal numbers the error is known: √(1 + ρ²)/√M
    assert error[0, 1] == pytest.approx(np.sqrt((1 + 0.36) / 1200), rel=0.6)


def test_it_is_positive_semidefinite_and_symmetric_on_many_inputs():
    table = nnft.measured_kernel(erf_net(), 120, key=key(2)).kernel(
        np.linspace(-2, 2, 30)
    )
    np.testing.assert_allclose(table, table.T, rtol=1e-13)
    assert np.linalg.eigvalsh(table).min() > -1e-12 * table.max()


def test_function_table_and_jackknife_are_of_the_same_networks():
    measured = nnft.measured_kernel(erf_net(), 120, key=key(3))
    table = measured.kernel(X)
    with jax.enable_x64(True):
        x, y = jnp.asarray(X[:1]), jnp.asarray(X[2:])
        pair = float(measured.pair_kernel()(x, y))
        slope = float(jax.grad(measured.pair_kernel(), argnums=1)(x, y)[0])
    assert pair == pytest.approx(table[0, 2], rel=1e-12)
    step = 1e-5
    ends = measured.kernel(X[:1], X[2] + np.array([-step, step]))[0]
    assert slope == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-6)
    draws = measured.kernel_draws
    assert draws is not None
    parts = [
        replace(measured, kernel_draws=replace(draws, left_out=block)).kernel(X)
        for block in range(NUM_BLOCKS)
    ]
    np.testing.assert_allclose(np.mean(parts, axis=0), table, rtol=1e-12)
    error = np.std(parts, axis=0) * np.sqrt(NUM_BLOCKS - 1)
    np.testing.assert_allclose(error, measured.kernel_error(X), rtol=1e-9)


def test_it_stays_with_the_network():
    measured = nnft.measured_kernel(erf_net(), 121, key=key(4))
    assert measured.kernel_draws is not None
    assert measured.kernel_draws.num_draws == 132
    assert "kernel measured on 132 networks" in repr(measured)
    assert measured != erf_net()
    wider = measured.with_width(9)
    assert wider.kernel_draws == measured.kernel_draws
    assert not np.array_equal(wider.kernel(X), measured.kernel(X))
    sent = pickle.loads(pickle.dumps(measured))
    assert sent == measured
    assert not measured.kernel_holds_at_every_width


def test_a_file_keeps_it(tmp_path):
    measured = nnft.measured_kernel(erf_net(), 120, key=key(5))
    found = nnft.measure_correlators(measured, X, (2, 4), num_draws=200, key=key(6))
    found.save(tmp_path / "found.nc")
    loaded = nnft.load(tmp_path / "found.nc")
    assert isinstance(loaded, nnft.Correlators)
    assert loaded.network == measured
    np.testing.assert_array_equal(loaded.network.kernel(X), measured.kernel(X))
    with pytest.raises(nnft.SpecError, match="kernel_draws is"):
        nnft.load(tmp_path / "found.nc", network=erf_net())


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(nnft.SpecError, match=r"num_draws.*from 120"):
        nnft.measured_kernel(erf_net(), 100, key=key(0))
    with pytest.raises(nnft.SpecError, match="expected a JAX random key"):
        nnft.measured_kernel(erf_net(), 200, key=0)
    heavy = nnft.network(
        "mlp",
        width=5,
        input_dim=1,
        weight_law="student-t",
        degrees_of_freedom=1.5,
    )
    with pytest.raises(nnft.UnavailableError, match="no 2-pt function to measure"):
        nnft.measured_kernel(heavy, 200, key=key(0))


def with_a_mean(*, readout: bool, num_outputs: int = 1) -> nnft.Network:
    """f = a |x| c/√2 + 3, a and c of an exponential law: of variance ½ (4 − 1) x²."""

    def features(params, x):
        return params["c"] * jnp.abs(x)

    def prior(hp):
        one = dist.Exponential(1.0)
        return {
            "c": numpyro.sample("c", one.expand([1]).to_event(1)),
            "a": numpyro.sample("a", one.expand([num_outputs]).to_event(1)),
        }

    architecture = nnft.Architecture(
        name="with-a-mean",
        description="for this test",
        prior=prior,
        apply=lambda hp, p, x: p["a"] * features(p, x) / 2**0.5 + 3.0,
        readout=(
            lambda hp: nnft.Readout(
                features=features,
                weight_std=1.0,
                bias_std=0.0,
                bias_mean=3.0,
                weight_moment=lambda k: factorial(k) / 2 ** (k / 2),
                odd_weight_moment=lambda k: factorial(k) / 2 ** (k / 2),
            )
        )
        if readout
        else None,
    )
    return nnft.Network.build(
        architecture, width=1, input_dim=1, output_dim=num_outputs
    )


@pytest.mark.parametrize("num_outputs", [1, 2])
@pytest.mark.parametrize("readout", [True, False])
def test_where_there_is_a_mean_it_is_the_two_point_function_less_it(
    readout, num_outputs
):
    net = with_a_mean(readout=readout, num_outputs=num_outputs)
    measured = nnft.measured_kernel(net, 12_000, key=key(4))
    expected = 1.5 * np.abs(np.outer(X, X))
    error = measured.kernel_error(X)
    assert (np.abs(measured.kernel(X) - expected) < 5 * error).all()
    assert (error < 0.1 * expected).all()
    with jax.enable_x64(True):
        pair = measured.pair_kernel()(jnp.asarray([0.2]), jnp.asarray([0.9]))
    assert float(pair) == pytest.approx(measured.kernel(X)[1, 2], rel=1e-12)

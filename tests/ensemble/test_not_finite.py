"""Networks that give NaN or overflow are counted and named, never averaged."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import nnft_ppl as nnft
from nnft_ppl.ensemble import device_sizes
from nnft_ppl.ensemble.device_sizes import CPU
from nnft_ppl.ensemble.not_finite import NotFiniteWarning, which_are_not_finite

KEY = jax.random.key(0)
X = [[1.0], [0.5]]
RARE = 2.6
"""Standard deviations beyond which a weight spoils its network: one in a hundred."""


def spoiled(by, rare=RARE, **knowledge):
    """f = w x, with `by` for a weight beyond `rare`."""
    architecture = nnft.Architecture(
        name="spoiled",
        description="",
        prior=lambda hp: numpyro.sample("w", dist.Normal().expand((hp.width,))),
        apply=lambda hp, w, x: jnp.where(jnp.abs(w[0]) > rare, by, w[0]) * x,
        symmetries=frozenset({"sign"}),
        **knowledge,
    )
    return nnft.Network.build(architecture, width=2, input_dim=1)


def weights(num_draws):
    """w of the same networks."""
    sound = spoiled(0.0, rare=jnp.inf)
    return nnft.sample_ensemble(sound, [1.0], num_draws, key=KEY).values[:, 0, 0]


def product_kernel(hp, x, y):
    return jnp.vdot(x, y)


def test_one_number_of_a_network_suffices():
    values = np.ones((4, 2, 1))
    values[1, 0], values[3, 1] = np.nan, -np.inf
    assert which_are_not_finite(values).tolist() == [False, True, False, True]


@pytest.mark.parametrize("by", [jnp.nan, jnp.inf, 1e20, 1e36], ids=str)
@pytest.mark.parametrize("estimator", ["wick", "moments"])
@pytest.mark.parametrize("kernel", [None, product_kernel], ids=["none", "known"])
def test_all_that_spoil_the_average_are_counted_and_the_first_named(
    by, estimator, kernel
):
    bad = np.flatnonzero(np.abs(weights(5000)) > RARE)
    assert len(bad) > 20
    with pytest.raises(
        nnft.SpecError,
        match=rf"^{len(bad)} of the networks 0 to 4999 .* first .* network {bad[0]} ",
    ):
        nnft.measure_correlators(
            spoiled(by, kernel=kernel),
            X,
            (2, 4),
            num_draws=5000,
            key=KEY,
            estimator=estimator,
        )


def test_random_kernels_that_overflow_are_counted_too():
    def features(w, x):
        return jnp.where(jnp.abs(w) > RARE, jnp.nan, w) * x

    net = spoiled(
        1.0,
        kernel=product_kernel,
        readout=lambda hp: nnft.Readout(features=features, weight_std=1, bias_std=0),
    )
    with pytest.raises(nnft.SpecError, match=r"\d+ of the networks 0 to 999 give NaN"):
        nnft.measure_correlators(net, X, (2, 4), num_draws=1000, key=KEY)


def test_the_first_is_named_in_whichever_block_it_is(monkeypatch):
    monkeypatch.setattr(device_sizes, "CPU", replace(CPU, block_draws=512))
    drawn = np.abs(weights(6000))
    late = int(np.argmax(drawn))
    assert late > 512
    net = spoiled(jnp.nan, np.sort(drawn)[-2:].mean(), kernel=product_kernel)
    with pytest.raises(
        nnft.SpecError,
        match=rf"^1 of the networks {late - late % 512} to 5999 .* network {late} ",
    ):
        nnft.measure_correlators(net, X, (2,), num_draws=6000, key=KEY, block_size=512)


def test_the_networks_before_the_first_are_measured():
    first = int(np.argmax(np.abs(weights(1000)) > RARE))
    found, sound = (
        nnft.measure_correlators(
            spoiled(by, kernel=product_kernel), X, num_draws=first, key=KEY
        )
        for by in (jnp.nan, 0.0)
    )
    assert found.connected(4).tolist() == sound.connected(4).tolist()


def test_a_width_is_not_sought_with_more_draws():
    net = spoiled(jnp.nan)
    with pytest.raises(nnft.SpecError, match=r"\d+ of the networks .* will not help"):
        nnft.required_width(net, X, 0.1, num_draws=1000, widths=(2, 3, 4))


def test_an_ensemble_keeps_them_and_says_so():
    net = spoiled(jnp.nan, kernel=product_kernel)
    bad = np.flatnonzero(np.abs(weights(1000)) > RARE)
    message = rf"^{len(bad)} of the networks 0 to 999 .* network {bad[0]} "
    with pytest.warns(NotFiniteWarning, match=message):
        ensemble = nnft.sample_ensemble(net, X, 1000, key=KEY)
    assert np.isnan(ensemble.values).any((1, 2)).nonzero()[0].tolist() == bad.tolist()
    action = nnft.Action(["lambda_0"])
    with pytest.raises(nnft.SpecError, match=f"not finite: {message[1:]}"):
        nnft.fit_function_space(ensemble, action, [10.0], key=KEY)

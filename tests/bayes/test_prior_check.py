"""A posterior of targets that the prior never gives is warned of."""

import jax
import numpy as np
import numpyro.distributions as dist
import pytest

import nnft_ppl as nnft
from nnft_ppl.bayes.by_weights import PosteriorWarning
from nnft_ppl.bayes.data import checked_data
from nnft_ppl.bayes.prior_check import warn_of_surprise
from nnft_ppl.bayes.scales import Scales

NET = nnft.network("relu-net", width=20, input_dim=1, bias_std=1.0)
X = np.linspace(-1, 1, 6)


def test_raw_units_are_warned_of():
    """Temperatures in kelvin at hours of the day."""
    hours = np.array([1.0, 7.0, 13.0, 19.0])
    with pytest.warns(PosteriorWarning, match="Standardise inputs and targets"):
        nnft.posterior(
            NET,
            hours,
            [288.0, 295.0, 301.0, 290.0],
            [10.0],
            noise_std=1.0,
            num_draws=200,
            num_samples=20,
            method="nuts",
            num_warmup=20,
            num_chains=1,
            key=jax.random.key(0),
        )


@pytest.mark.filterwarnings("ignore:the targets are:UserWarning")
@pytest.mark.parametrize(
    "call",
    [
        lambda *data, **how: nnft.posterior(NET, *data, [10.0], **how),
        lambda *data, **how: nnft.evidence_by_width(NET, [5, 20], *data, **how),
    ],
    ids=["posterior", "evidence"],
)
def test_no_minutes_are_spent_on_raw_units_unless_asked_for(call):
    hours = np.array([1.0, 7.0, 13.0, 19.0, 22.0])
    kelvin, key = np.array([288.0, 295.0, 301.0, 290.0, 286.0]), jax.random.key(0)
    with pytest.raises(nnft.FitError, match="none that these networks give") as caught:
        call(hours, kelvin, noise_std=0.1, num_draws=500, key=key)
    assert "Pareto k" in str(caught.value)


def test_it_is_one_of_data_of_the_prior_and_scales_with_them(monkeypatch):
    """Draws of the Gaussian process with noise: 1 ± 1/√(2·6·400), at every scale."""
    rng, noise = np.random.default_rng(0), 0.3
    covariance = NET.kernel(X) + noise**2 * np.eye(6)
    ys = rng.multivariate_normal(np.zeros(6), covariance, size=400)
    told = []
    monkeypatch.setattr("nnft_ppl.bayes.prior_check._SURPRISING", 0.0)
    for y in ys:
        with pytest.warns(PosteriorWarning) as caught:
            assert warn_of_surprise(
                NET, checked_data(NET, X, y, X), Scales.checked(noise)
            )
        told.append(float(str(caught[0].message).split("are ")[1].split()[0]))
    assert np.mean(np.square(told)) == pytest.approx(1, abs=4 * np.sqrt(2 / 2400))
    with pytest.warns(PosteriorWarning, match=f"are {1e3 * told[-1]:.3g} "):
        warn_of_surprise(NET, checked_data(NET, X, 1e3 * y, X), Scales.checked(noise))


@pytest.mark.filterwarnings("error")
def test_ordinary_data_and_unknown_scales_say_nothing():
    data = checked_data(NET, X, np.sin(3 * X), X)
    assert not warn_of_surprise(NET, data, Scales.checked(0.1))
    far = checked_data(NET, X, 1e3 * np.sin(3 * X), X)
    warn_of_surprise(NET, far, Scales.checked(dist.HalfNormal(1.0)))

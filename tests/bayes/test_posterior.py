import re

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer import MCMC, NUTS
from oracles import finite_width_posterior as oracle
from scipy import special

import nnft_ppl as nnft
from nnft_ppl.bayes.posterior import PosteriorWarning

KEY = jax.random.key(5)
X = np.array([-1.2, -0.3, 0.4, 1.1])
Y = np.array([0.4, -0.5, 0.2, 0.9])
X_NEW = np.array([-0.8, 0.1, 2.0])


def agrees(post, expected, sigmas=4.5):
    """Evidence and means within so many standard errors, variances within the same.

    A variance's error is about its size over the root of the effective draws.
    """
    log_evidence, mean, variance = expected
    assert abs(post.log_evidence - log_evidence) < sigmas * post.log_evidence_error
    shape = post.mean.shape
    error = post.mean_error + 1e-6
    assert (abs(post.mean - mean.reshape(shape)) < sigmas * error).all()
    ratio = post.variance / variance.reshape(shape)
    assert (abs(ratio - 1) < 1e-5 + 3 * sigmas / post.effective_draws**0.5).all()


@pytest.mark.parametrize("bias_std", [0.0, 0.8])
def test_a_single_unit_is_integrated_over_its_weights(bias_std):
    net = nnft.network(
        "erf-net", width=1, input_dim=1, weight_std=1.3, bias_std=bias_std
    )
    post = nnft.posterior(
        net, X, Y, X_NEW, noise_std=0.4, num_draws=60_000, key=KEY, num_samples=25
    )
    expected = oracle.one_unit(
        special.erf,
        X,
        Y[:, None],
        X_NEW,
        weight_std=1.3,
        bias_std=bias_std,
        noise_std=0.4,
        num_nodes=401 if bias_std else 20_001,
    )
    assert post.method == "weights"
    assert post.mean_error.max() < 0.01
    assert post.log_evidence_error < 0.02
    agrees(post, expected)


def test_outputs_share_the_features():
    net = nnft.network(
        "erf-net", width=1, input_dim=1, output_dim=2, weight_std=1.3, bias_std=0.0
    )
    targets = np.stack([Y, 1.5 * Y[::-1]], axis=1)
    post = nnft.posterior(
        net, X, targets, X_NEW, noise_std=0.4, num_draws=60_000, key=KEY, num_samples=25
    )
    expected = oracle.one_unit(
        special.erf,
        X,
        targets,
        X_NEW,
        weight_std=1.3,
        bias_std=0.0,
        noise_std=0.4,
        num_nodes=20_001,
    )
    assert post.mean.shape == (3, 2)
    assert post.data["predictions"]["f"].dims[-2:] == ("new_point", "output")
    agrees(post, expected)


def regression(num_data=8, dim=2, seed=0):
    rng = np.random.default_rng(seed)
    x, x_new = rng.normal(size=(num_data, dim)), rng.normal(size=(3, dim))
    return x, np.sin(x.sum(axis=1)), x_new


def gaussian_process(net, x, y, x_new, noise_std):
    seen = net.kernel(x) + noise_std**2 * np.eye(len(x))
    cross = net.kernel(x_new, x)
    gain = np.linalg.solve(seen, cross.T).T
    variance = np.diag(net.kernel(x_new)) - np.einsum("ni,ni->n", gain, cross)
    misfit = y @ np.linalg.solve(seen, y)
    log_evidence = -0.5 * (misfit + np.linalg.slogdet(2 * np.pi * seen)[1])
    return log_evidence, gain @ y, variance


def test_a_wide_network_is_its_gaussian_process():
    x, y, x_new = regression()
    net = nnft.network("relu-net", width=4000, input_dim=2, weight_std=1.0)
    post = nnft.posterior(
        net, x, y, x_new, noise_std=0.3, num_draws=400, key=KEY, num_samples=25
    )
    log_evidence, mean, variance = gaussian_process(net, x, y, x_new, 0.3)
    # Of order 1/N: 0.1 at N = 50, and the noise of 400 networks.
    assert abs(post.mean - mean).max() < 5 * post.mean_error.max() + 0.002
    assert abs(post.variance / variance - 1).max() < 0.02
    assert abs(post.log_evidence - log_evidence) < 0.05


@pytest.mark.slow
def test_exact_minus_gaussian_process_falls_as_one_over_width():
    x, y, x_new = regression()
    widths = np.array([80, 160, 320, 640])
    gaps, errors, means, mean_errors = [], [], [], []
    for width in widths:
        net = nnft.network("relu-net", width=int(width), input_dim=2, weight_std=1.0)
        post = nnft.posterior(
            net, x, y, x_new, noise_std=0.3, num_draws=400_000, key=KEY, num_samples=25
        )
        log_evidence, mean, _ = gaussian_process(net, x, y, x_new, 0.3)
        gaps.append(log_evidence - post.log_evidence)
        errors.append(post.log_evidence_error)
        means.append(width * (post.mean - mean))
        mean_errors.append(width * post.mean_error)
    gaps, errors = np.array(gaps), np.array(errors)
    (slope, _), covariance = np.polyfit(
        np.log(widths), np.log(gaps), 1, w=gaps / errors, cov="unscaled"
    )
    assert covariance[0, 0] ** 0.5 < 0.03
    # At N = 80 the next order is of some per cent.
    assert abs(slope + 1) < 3 * covariance[0, 0] ** 0.5 + 0.05
    # N times what the means differ by is a constant, and the next order over N.
    for gap, error in zip(np.transpose(means), np.transpose(mean_errors), strict=True):
        fit, chi2, *_ = np.polyfit(1 / widths, gap, 1, w=1 / error, full=True)
        assert chi2[0] < 13.8  # of two degrees of freedom: 0.1 %
        assert abs(fit[1]) > 3 * error[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width", "num_data", "options"),
    [
        ("relu-net", 5, 3, {"input_dim": 1}),
        ("erf-net", 20, 15, {"input_dim": 1, "bias_std": 0.5}),
        ("mlp", 8, 6, {"input_dim": 2, "activation": "tanh", "bias_std": 0.3}),
    ],
)
def test_nuts_on_all_weights_gives_the_same(name, width, num_data, options):
    net = nnft.network(name, width=width, weight_std=1.2, **options)
    x, y, x_new = regression(num_data, options["input_dim"], seed=num_data)
    post = nnft.posterior(net, x, y, x_new, noise_std=0.3, num_draws=50_000, key=KEY)

    def model(y):
        params = net.prior()
        field = net.apply(params, np.concatenate([x, x_new]))[:, 0]
        numpyro.sample("y", dist.Normal(field[:num_data], 0.3), obs=y)
        numpyro.deterministic("f", field[num_data:])

    with jax.enable_x64(True):
        mcmc = MCMC(
            NUTS(model, target_accept_prob=0.9),
            num_warmup=1000,
            num_samples=3000,
            num_chains=4,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(jax.random.key(9), y)
        field = np.asarray(mcmc.get_samples(group_by_chain=True)["f"])
    assert (split_gelman_rubin(field) < 1.01).all()
    error = field.std(axis=(0, 1)) / effective_sample_size(field) ** 0.5
    gap = abs(field.mean(axis=(0, 1)) - post.mean)
    assert (gap < 3.5 * np.hypot(error, post.mean_error)).all()
    # Squares mix as the field does, or a little worse.
    relative = 3 * (2 / effective_sample_size(field)) ** 0.5
    assert (abs(field.var(axis=(0, 1)) / post.variance - 1) < 3.5 * relative).all()


@pytest.mark.slow
def test_ranks_of_the_true_field_are_uniform_and_those_of_the_gaussian_process_not():
    num_repeats, width, noise = 600, 5, 0.3
    net = nnft.network("relu-net", width=width, input_dim=1, weight_std=1.5)
    x, x_new = np.array([-1.0, -0.6]), np.array([1.6])
    rng = np.random.default_rng(8)
    points = np.concatenate([x, x_new])
    truth = nnft.sample_ensemble(net, points, num_repeats, key=jax.random.key(77))
    exact, gaussian = np.empty(num_repeats), np.empty(num_repeats)
    for number, field in enumerate(np.asarray(truth.values[..., 0], np.float64)):
        y = field[:2] + noise * rng.normal(size=2)
        post = nnft.posterior(
            net,
            x,
            y,
            x_new,
            noise_std=noise,
            num_draws=5000,
            key=jax.random.key(number),
            num_samples=100,
        )
        draws = post.data["predictions"]["f"].to_numpy()
        exact[number] = np.mean(draws < field[2])
        _, mean, variance = gaussian_process(net, x, y, x_new, noise)
        gaussian[number] = special.ndtr((field[2] - mean[0]) / variance[0] ** 0.5)

    def p_value(ranks):
        counts, _ = np.histogram(ranks, bins=10, range=(0, 1))
        chi2 = ((counts - num_repeats / 10) ** 2 / (num_repeats / 10)).sum()
        return special.chdtrc(9, chi2)

    assert p_value(exact) > 0.01
    assert p_value(gaussian) < 1e-6  # its tails are too light


def small(**options):
    net = nnft.network("erf-net", width=4, input_dim=1, weight_std=1.0, bias_std=0.5)
    given = {"noise_std": 0.3, "num_draws": 2000, "key": KEY, "num_samples": 50}
    return nnft.posterior(net, X, Y, X_NEW, **{**given, **options})


def test_draws_have_the_moments_that_are_known_exactly():
    post = small(num_samples=2000)
    field = post.data["predictions"]["f"].to_numpy().reshape(-1, 3)
    error = post.variance**0.5 / len(field) ** 0.5
    # The same networks, so that their own scatter does not count.
    assert (abs(field.mean(axis=0) - post.mean) < 4 * error).all()
    assert (abs(field.var(axis=0) / post.variance - 1) < 0.1).all()
    targets = post.data["predictions"]["y"].to_numpy().reshape(-1, 3)
    noise = targets - field
    assert abs(noise.std() / 0.3 - 1) < 0.03
    replicated = post.data["posterior_predictive"]["y"].to_numpy()
    at_data = post.data["posterior"]["f"].to_numpy()
    assert abs((replicated - at_data).std() / 0.3 - 1) < 0.03
    quantiles = post.quantile([0.1, 0.9])
    assert quantiles.shape == (2, 3)
    np.testing.assert_allclose(quantiles[1], np.quantile(field, 0.9, axis=0))
    assert (np.diff(post.quantile([0.1, 0.9], of="y"), axis=0) > 0.4).all()


def test_an_input_may_be_repeated_and_be_asked_for():
    net = nnft.network("erf-net", width=4, input_dim=1, weight_std=1.0, bias_std=0.5)
    given = {"num_draws": 2000, "key": KEY, "num_samples": 50}
    twice = nnft.posterior(
        net, [0.2, 0.2, 1.0], [0.3, 0.5, -1.0], [0.2, 1.0], noise_std=0.4, **given
    )
    # Two targets at one input are their mean with half the variance; at 1.0 one
    # of the same precision is given as two alike.
    once = nnft.posterior(
        net, [0.2, 1.0], [0.4, -1.0], [0.2, 1.0], noise_std=0.4 / 2**0.5, **given
    )
    both = nnft.posterior(
        net,
        [0.2, 0.2, 1.0, 1.0],
        [0.3, 0.5, -1.2, -0.8],
        [0.2, 1.0],
        noise_std=0.4,
        **given,
    )
    np.testing.assert_allclose(both.mean, once.mean, rtol=2e-2)
    assert abs(twice.mean - once.mean).max() > 0.02


def test_numbers_of_networks_are_theirs_whatever_the_devices_and_the_run():
    post, again = small(), small(devices=1)
    assert post.data.equals(again.data)
    assert (small(key=jax.random.key(6)).mean != post.mean).all()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["smc", "nuts"])
def test_unknown_scales_are_inferred_alike_by_all_routes(method):
    unknown = {
        "noise_std": dist.LogNormal(-1.0, 0.5),
        "weight_std": dist.LogNormal(0.0, 0.3),
        "bias_std": dist.LogNormal(-0.5, 0.3),
    }
    weighted = small(num_draws=20_000, num_samples=500, **unknown)
    chained = small(method=method, num_warmup=200, num_samples=500, **unknown)
    assert (weighted.method, chained.method) == ("weights", method)
    error = np.hypot(weighted.mean_error, chained.mean_error)
    assert (abs(weighted.mean - chained.mean) < 4 * error).all()
    for name in unknown:
        one, other = (p.data["posterior"][name].to_numpy() for p in (weighted, chained))
        # NUTS has some hundred effective draws of each.
        assert abs(np.log(one).mean() - np.log(other).mean()) < 0.1
    if method == "nuts":
        assert np.isnan(chained.log_evidence)
        assert "no evidence" in repr(chained)
    else:
        both = np.hypot(weighted.log_evidence_error, chained.log_evidence_error)
        # Of four populations the error itself is known to a half.
        assert abs(weighted.log_evidence - chained.log_evidence) < 6 * both


@pytest.mark.slow
def test_tempering_gives_the_evidence_and_moments_of_weights():
    weighted = small(num_draws=20_000)
    tempered = small(method="smc", num_samples=200)
    error = np.hypot(weighted.mean_error, tempered.mean_error)
    assert (abs(weighted.mean - tempered.mean) < 5 * error).all()
    assert (abs(tempered.variance / weighted.variance - 1) < 0.25).all()
    assert tempered.log_evidence_error < 0.2
    both = np.hypot(weighted.log_evidence_error, tempered.log_evidence_error)
    assert abs(weighted.log_evidence - tempered.log_evidence) < 6 * both
    assert tempered.effective_draws < 800


@pytest.mark.slow
def test_weights_that_fail_are_said_to_and_tempering_goes_on():
    x = np.linspace(-2, 2, 12)
    y = np.sin(2 * x)
    net = nnft.network("erf-net", width=3, input_dim=1, weight_std=2.0, bias_std=1.0)
    given = {"noise_std": 0.1, "num_draws": 500, "key": KEY}
    with pytest.warns(PosteriorWarning) as warned:
        post = nnft.posterior(net, x, y, [0.5], num_samples=60, num_chains=2, **given)
    assert re.search(r"Pareto k .* going on by tempered", str(warned[0].message))
    assert post.method == "smc"
    assert post.pareto_k > 0.62
    assert np.isfinite(post.log_evidence)
    assert abs(post.mean[0] - np.sin(1.0)) < 0.2


def test_weights_that_collapse_are_no_answer():
    x = np.linspace(-2, 2, 12)
    net = nnft.network("erf-net", width=5, input_dim=1, weight_std=2.0, bias_std=1.0)
    with pytest.raises(nnft.FitError, match=r"effective draws; use method='smc'"):
        nnft.posterior(
            net,
            x,
            np.sin(2 * x),
            [0.5],
            noise_std=0.05,
            num_draws=500,
            key=KEY,
            method="weights",
        )


def test_weights_that_cannot_be_trusted_give_no_error():
    x = np.linspace(-1, 1, 6)
    net = nnft.network("erf-net", width=5, input_dim=1, weight_std=1.0, bias_std=1.0)
    with pytest.warns(PosteriorWarning, match="errors that are not known"):
        post = nnft.posterior(
            net,
            x,
            2 * np.sin(2 * x),
            [0.5],
            noise_std=0.15,
            num_draws=3000,
            key=KEY,
            method="weights",
            num_samples=20,
        )
    assert post.log_evidence_error == np.inf


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_std": -1.0}, r"`noise_std` is -1.0; expected a finite number"),
        ({"noise_std": "small"}, r"`noise_std` is 'small'"),
        ({"noise_std": dist.Normal(0, 1)}, r"a draw of which is -.*positive number"),
        ({"noise_std": dist.LogNormal(np.zeros(2), 1)}, r"`noise_std` has the shape"),
        ({"weight_std": 2.0}, r"`weight_std` is 2.0; .* given to the network"),
        ({"num_draws": 50}, r"`num_draws` is 50; expected a whole number from 100"),
        ({"method": "vi"}, r"`method` is 'vi'; choose one of"),
        ({"num_chains": 0}, r"`num_chains` is 0"),
        ({"generator": "fast"}, r"`generator` is 'fast'"),
        ({"devices": 99}, r"`devices` is 99"),
        ({"noise_std": 0}, r"`noise_std` is 0 and there are 7 targets; .* 5 features"),
    ],
)
def test_bad_arguments(options, message):
    net = nnft.network("erf-net", width=4, input_dim=1, weight_std=1.0, bias_std=0.5)
    given = {"noise_std": 0.3, "num_draws": 2000, "key": KEY}
    x = np.linspace(-1, 1, 7)
    with pytest.raises(nnft.SpecError, match=message):
        nnft.posterior(net, x, np.sin(x), [0.5], **{**given, **options})


def test_without_noise_some_networks_may_not_have_the_targets():
    net = nnft.network("relu-net", width=4, input_dim=1, weight_std=1.0)
    with pytest.raises(nnft.FitError, match="none of 200 networks can have"):
        nnft.posterior(
            net,
            [0.2, 0.5, 1.0],
            [1.0, 0.0, 1.0],
            [2.0],
            noise_std=0,
            num_draws=200,
            key=KEY,
        )


def test_networks_without_a_gaussian_readout_are_referred_to_nuts():
    net = nnft.network("mlp", width=4, input_dim=1, weight_law="laplace")
    with pytest.raises(nnft.UnavailableError, match=r"normal weights.*net\.prior\(\)"):
        nnft.posterior(net, X, Y, X_NEW, noise_std=0.3, key=KEY)


def test_a_result_comes_back_from_its_file(tmp_path):
    post = small(noise_std=dist.LogNormal(-1.0, 0.5))
    post.save(tmp_path / "post.nc")
    again = nnft.load(tmp_path / "post.nc")
    assert isinstance(again, nnft.Posterior)
    assert repr(again) == repr(post)
    assert again.data.equals(post.data)
    with pytest.raises(nnft.SpecError, match="`of` is 'z'"):
        again.quantile(0.5, of="z")
    with pytest.raises(nnft.SpecError, match="from 0 to 1"):
        again.quantile(1.5)

"""Couplings from raw outputs: quadrature, known truths, the bound, correlators."""

import dataclasses
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import xarray as xr

import nnft_ppl as nnft
from nnft_ppl import FitError, SpecError, UnavailableError, store
from nnft_ppl.architecture import Architecture
from nnft_ppl.correlators.symmetric import entry_size
from nnft_ppl.correlators.wick import gaussian_moment
from nnft_ppl.eft.density import EdgeworthDensity
from nnft_ppl.eft.expansion import design_matrix
from nnft_ppl.ensemble.sample import Ensemble
from nnft_ppl.inference.covariance import gaussian_covariance
from nnft_ppl.inference.outputs.fit import fit_function_space
from nnft_ppl.inference.outputs.model import log_bracket
from nnft_ppl.option import Option

KEY = jax.random.key(3)
LAMBDA_0 = nnft.Action(["lambda_0"])
NON_LOCAL = nnft.Action(["lambda_nl"])
RELU_X = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
X = np.array([-0.8, -0.1, 0.7])
WIDE = nnft.Prior(natural_size=1000.0)
CHEAP = {"num_warmup": 150, "num_samples": 250, "num_chains": 4, "prior": WIDE}


def features(x):
    """Legendre polynomials, orthonormal on [−1, 1]: there P = ∫ K K is K itself."""
    t = x[0]
    return jnp.stack([0 * t + 0.5**0.5, 1.5**0.5 * t, 2.5**0.5 * (1.5 * t**2 - 0.5)])


def scaled_prior(hp):
    normals = numpyro.sample("normals", dist.Normal(0, 1).expand([3]).to_event(1))
    return normals, numpyro.sample("large", dist.Bernoulli(0.5))


def scaled_apply(hp, params, x):
    normals, large = params
    variance = 1 + hp.options["spread"] * (2 * large - 1)
    return (jnp.sqrt(variance) * normals @ features(x))[None]


def scaled_process(spread, kernel_factor=1.0, output_dim=1):
    """A Gaussian process times s with s² = 1 ± spread.

    Its connected 4-pt function is spread² Σ_3 KK, which at cutoff 1 is that of
    λ_NL = −spread²/8 at any inputs. With spread 0 it is the Gaussian process.
    """
    architecture = Architecture(
        name="scaled-process",
        description="a Gaussian process of random size",
        prior=scaled_prior,
        apply=lambda hp, params, x: jnp.tile(scaled_apply(hp, params, x), output_dim),
        kernel=lambda hp, x, y: kernel_factor * jnp.dot(features(x), features(y)),
        symmetries=frozenset({"sign"}),
        options={"spread": Option(default=0.0, help="of s²")},
    )
    return nnft.Network.build(
        architecture, width=100, input_dim=1, output_dim=output_dim, spread=spread
    )


def relu(width):
    return nnft.network("relu-net", width=width, input_dim=1, bias_std=0.0)


def hermite_4(u):
    return u**4 - 6 * u**2 + 3


def draw(network, x, num_draws, key=KEY):
    return nnft.sample_ensemble(network, x, num_draws, key=key)


def single_mode(u):
    """ReLU-nets at x = 1, where K = 1/2, whose outputs are u standard deviations."""
    values = np.asarray(u)[:, None, None] * np.sqrt(0.5)
    return Ensemble(relu(500), np.ones((1, 1)), values.astype(np.float32))


def grid_posterior(response, tau, grid):
    """Posterior of c, normal prior, summed over a grid; the log bracket by hand.

    Args:
        response: (draw, operator).
        tau: Prior standard deviation.
        grid: (number, operator) values of c.

    Returns:
        Mean and standard deviation, (operator,).
    """
    log_posterior = -0.5 * np.sum((grid / tau) ** 2, axis=1)
    for part in np.array_split(response, len(response) // 500 + 1):
        bracket = 1 + part @ grid.T
        low = bracket < 0.1
        step = bracket / 0.1 - 1
        log = np.log(np.where(low, 0.1, bracket))
        log_posterior += np.sum(log + np.where(low, step - step**2 / 2, 0), axis=0)
    weight = np.exp(log_posterior - log_posterior.max())
    weight /= weight.sum()
    mean = weight @ grid
    return mean, np.sqrt(weight @ (grid - mean) ** 2)


@pytest.fixture(scope="module")
def relu_draws():
    return draw(relu(500), RELU_X, 4000)


@pytest.fixture(scope="module")
def relu_fit(relu_draws):
    return fit_function_space(relu_draws, LAMBDA_0, [10.0, 100.0], key=KEY, **CHEAP)


def test_posterior_is_that_of_the_density_on_a_grid(relu_draws, relu_fit):
    """One mode: u = f/√K, and c multiplies −3 He4(u)/24, as c = g·rms(A)/rms(3KK)."""
    u = relu_draws.values[:, -1, 0] / np.sqrt(1.2**2 / 2)
    tau = WIDE.coupling_scales(500, LAMBDA_0)[0]
    response = -3 * hermite_4(u.astype(float))[:, None] / 24
    grid = np.linspace(-0.1, 0.1, 2001)[:, None]
    (mean,), (sd,) = grid_posterior(response, tau, grid)
    found = relu_fit.dimensionless[:, :, 0, 0]
    assert found.mean() == pytest.approx(mean, abs=5 * sd / np.sqrt(300))
    assert found.std() == pytest.approx(sd, rel=0.15)
    # The bound: sd of c is √(24/M)/3, the prior being wide.
    bound = 1 / np.sqrt(4000 * 9 / 24 + 1 / tau**2)
    np.testing.assert_allclose(relu_fit.bound, bound, rtol=1e-6)
    np.testing.assert_allclose(relu_fit.efficiency, (bound / sd) ** 2, rtol=0.3)


def test_one_fit_serves_all_cutoffs_and_runs_with_them(relu_fit):
    assert relu_fit.modes_kept == 1
    assert relu_fit.modes_dropped == 5
    table = relu_fit.summary()
    assert (table["rhat"] < 1.02).all()
    assert (table["num_divergent"] == 0).all()
    assert (table["p_value"] == 1).all()  # one function, one coupling
    near, far = table["mean"]
    # Rounding parts the chains of two cutoffs: equal to their Monte Carlo error.
    assert near / far == pytest.approx(1e5, rel=3e-2)
    truth = -12.5 / 500 / 10.0**5
    assert abs(near - truth) < 4 * table["sd"].iloc[0]


def test_data_are_laid_out_for_arviz(relu_fit):
    posterior = relu_fit.data["posterior"]
    for name in ("coupling", "dimensionless"):
        assert posterior[name].dims == ("chain", "draw", "cutoff", "operator")
    assert set(relu_fit.data.children) == {
        "posterior",
        "sample_stats",
        "log_prior",
        "constant_data",
    }
    assert relu_fit.data["sample_stats"]["diverging"].dims == (
        "chain",
        "draw",
        "cutoff",
    )
    one = relu_fit.at(100.0)
    np.testing.assert_array_equal(
        one["posterior"]["coupling"], posterior["coupling"].sel(cutoff=100.0)
    )
    with pytest.raises(SpecError, match="has no cutoff 5"):
        relu_fit.at(5.0)
    assert "(1 modes kept), 4,000 draws" in repr(relu_fit)


@pytest.mark.slow
def test_bound_is_reached_and_correlators_agree_over_replicas():
    """Truth known, three modes: outputs and Wick-ordered correlators, same networks.

    Standard errors over R = 12 replicas of M = 10⁴: 0.29 of the bound for the mean,
    21 % for the scatter; four of each. Means of the two fits differ by 0.15 of the
    bound, measured over 100 replicas.
    """
    network, truth, num_replicas = scaled_process(0.08), -(0.08**2) / 8, 12
    ours, theirs = [], []
    for replica in range(num_replicas):
        key = jax.random.key(100 + replica)
        fit = fit_function_space(
            draw(network, X, 10_000, key), NON_LOCAL, [1.0], key=KEY, **CHEAP
        )
        measured = nnft.measure_correlators(
            network, X, (2, 4), num_draws=10_000, key=key, estimator="wick"
        )
        correlators = nnft.fit_couplings(
            measured,
            NON_LOCAL,
            [1.0],
            key=KEY,
            discrepancy=False,
            sampler="conjugate",
            prior=WIDE,
        )
        for found, table in ((fit, ours), (correlators, theirs)):
            draws = found.dimensionless.ravel() / fit.bound[0, 0]
            table.append((draws.mean(), draws.std()))
    ours, theirs = np.array(ours), np.array(theirs)
    z = ours[:, 0] - truth * fit.scale[0, 0] / fit.bound[0, 0]
    assert abs(z.mean()) < 4 / np.sqrt(num_replicas)
    assert abs(z.std(ddof=1) - 1) < 4 / np.sqrt(2 * (num_replicas - 1))
    # Correlators are fitted with equal weights: H V Hᵀ beside (DᵀV⁻¹D)⁻¹.
    kernel = network.kernel(X)
    size = entry_size(np.diag(kernel), 4)
    response = gaussian_moment(kernel, 4) / size
    noise = gaussian_covariance(kernel, 4) / np.outer(size, size)
    plain = response / np.sum(response**2)
    cost = np.sqrt(
        (plain @ noise @ plain) * (response @ np.linalg.solve(noise, response))
    )
    assert 1.05 < cost < 1.5
    np.testing.assert_allclose(ours[:, 1].mean(), 1, atol=0.1)
    np.testing.assert_allclose(theirs[:, 1].mean(), cost, atol=0.1)
    apart = np.sqrt(np.mean((ours - theirs)[:, 0] ** 2))
    # What the two see beyond the same is independent; 21 % as above, and 0.15.
    assert abs(apart / np.sqrt(cost**2 - 1) - 1) < 4 * 0.21 + 0.25
    # κ = Σ_3 KK in m = 3 modes: ⟨A²⟩ = (3m² + 6m)/24, in units c = 8 g.
    bound = 1 / np.sqrt(10_000 * (3 * 9 + 6 * 3) / 24)
    np.testing.assert_allclose(fit.bound, bound, rtol=1e-4)  # the prior is wide


@pytest.mark.slow
def test_negative_brackets_are_counted():
    """Almost all draws one sigma off pull where a single one of four sigma resists.

    He4(1) = −2 and He4(4) = 163: the bracket of the odd one out turns negative.
    """
    u = np.append(np.ones(9999), 4.0)
    fit = fit_function_space(single_mode(u), LAMBDA_0, [10.0], key=KEY, **CHEAP)
    response = -3 * hermite_4(u) / 24
    couplings = fit.dimensionless.ravel()
    table = fit.negative_fraction
    assert list(table.columns) == ["cutoff", "at_mean", "over_posterior"]
    assert 1 + response[-1] * couplings.mean() < 0
    assert table["at_mean"].iloc[0] == 1 / 10_000
    share = np.mean(1 + response[-1] * couplings <= 0)
    assert 0.5 < share <= 1
    error = np.sqrt(max(share * (1 - share), 0.01) / 200)
    assert table["over_posterior"].iloc[0] * 10_000 == pytest.approx(
        share, abs=5 * error
    )
    grid = np.linspace(0, 0.3, 3001)[:, None]
    (mean,), (sd,) = grid_posterior(response[:, None], 2.0, grid)
    assert couplings.mean() == pytest.approx(mean, abs=5 * sd / np.sqrt(300))
    assert couplings.std() == pytest.approx(sd, rel=0.15)


def test_log_bracket_is_smooth_and_concave():
    with jax.enable_x64(True):
        x = jnp.linspace(-2.0, 3.0, 5001)
        values = np.asarray(log_bracket(x))
        slope = np.asarray(jax.vmap(jax.grad(log_bracket))(x))
        at = [np.asarray(log_bracket(jnp.array(0.1 + d))) for d in (-1e-5, 1e-5)]
        x = np.asarray(x)
    np.testing.assert_allclose(values[x >= 0.1], np.log(x[x >= 0.1]), atol=1e-12)
    assert (np.diff(slope) < 0).all()
    # Third derivatives differ, 0 and 2/0.1³: the step is that of slope 1/0.1.
    assert at[1] - at[0] == pytest.approx(2e-5 / 0.1, rel=1e-6)


@pytest.mark.slow
def test_an_action_of_the_wrong_shape_is_found_out():
    ensemble = draw(scaled_process(0.5), X, 10_000)
    right, wrong = (
        fit_function_space(ensemble, action, [1.0], key=KEY, **CHEAP)
        for action in (NON_LOCAL, LAMBDA_0)
    )
    assert right.p_value[0] > 0.01
    assert wrong.p_value[0] < 1e-4


@pytest.mark.slow
def test_two_operators_have_the_posterior_of_a_grid():
    """The density's response is tested by itself; here it is what the grid sums."""
    action, network = nnft.Action(["lambda_nl", "lambda_0"]), scaled_process(0.0)
    ensemble = draw(network, X, 4000)
    fit = fit_function_space(ensemble, action, [1.0], key=KEY, **CHEAP)
    columns = design_matrix(action, network, X, [1.0], 4).values[0] / fit.scale[0]
    density = EdgeworthDensity.build(network.kernel(X), columns)
    response = density.response(ensemble.values[..., 0])
    tau = WIDE.coupling_scales(100, action)
    np.testing.assert_allclose(
        fit.bound[0] ** 2,
        np.diag(np.linalg.inv(4000 * density.information + np.diag(tau**-2.0))),
        rtol=1e-6,
    )
    root = np.linalg.cholesky(np.linalg.inv(4000 * density.information))
    axis = np.linspace(-7, 7, 71)
    grid = np.array(list(product(axis, axis))) @ root.T
    mean, sd = grid_posterior(response, tau, grid)
    found = fit.dimensionless.reshape(-1, 2)
    assert (abs(found.mean(axis=0) - mean) < 5 * sd / np.sqrt(300)).all()
    np.testing.assert_allclose(found.std(axis=0), sd, rtol=0.15)
    assert list(fit.summary()["operator"]) == ["lambda_nl", "lambda_0"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"ensemble": None}, SpecError, "`ensemble` is None"),
        ({"action": ["lambda_0"]}, SpecError, r"`action` is \['lambda_0'\]"),
        ({"cutoffs": [-1.0]}, SpecError, "cutoff"),
        ({"cutoffs": [1.0, 1.0]}, SpecError, "holds a value twice"),
        ({"num_samples": 0}, SpecError, "`num_samples` is 0"),
        ({"prior": 3.0}, SpecError, "`prior` is 3.0"),
        ({"mode_tolerance": 2.0}, SpecError, "`mode_tolerance` is 2.0"),
        (
            {"action": nnft.Action(["lambda_0", "kappa"])},
            UnavailableError,
            r"\['kappa'\] have other than four fields",
        ),
        (
            {"action": nnft.Action(["lambda_0", "lambda_2"])},
            SpecError,
            "2 couplings, but the kernel at these inputs determines 1 modes",
        ),
    ],
)
def test_bad_arguments_are_refused(relu_draws, change, error, message):
    arguments = {
        "ensemble": relu_draws,
        "action": LAMBDA_0,
        "cutoffs": [10.0],
        "key": KEY,
        **change,
    }
    with pytest.raises(error, match=message):
        fit_function_space(**arguments)


def test_ensembles_that_the_density_does_not_cover_are_refused():
    def fit(ensemble, **options):
        return fit_function_space(ensemble, LAMBDA_0, [1.0], key=KEY, **options)

    with pytest.raises(SpecError, match="has 2 outputs"):
        fit(draw(scaled_process(0.0, output_dim=2), X, 100))
    few = draw(scaled_process(0.0), X, 15)
    with pytest.raises(SpecError, match="15 draws, too few for the 15 4-pt functions"):
        fit(few)
    broken = Ensemble(few.network, few.x, np.full_like(few.values, np.inf))
    with pytest.raises(SpecError, match="not finite"):
        fit(broken)
    with pytest.raises(FitError, match="times the kernel's variance"):
        fit(draw(scaled_process(0.0, kernel_factor=4.0), X, 1000))
    erf = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    with pytest.raises(FitError, match="raise `mode_tolerance` above 1e-13"):
        fit(draw(erf, 0.01 * RELU_X, 1000), mode_tolerance=1e-13)
    lopsided = dataclasses.replace(few.network.architecture, symmetries=frozenset())
    network = nnft.Network.build(lopsided, width=1, input_dim=1)
    with pytest.raises(UnavailableError, match="neither a Gaussian readout nor the"):
        fit(Ensemble(network, few.x, few.values))
    bare = Architecture(
        name="bare", description="", prior=scaled_prior, apply=scaled_apply
    )
    with pytest.raises(UnavailableError, match="'bare' gives no GP kernel"):
        fit(Ensemble(nnft.Network.build(bare, width=1, input_dim=1), few.x, few.values))


def test_a_fit_comes_back_equal(relu_fit, tmp_path):
    relu_fit.save(tmp_path / "fit.nc")
    back = nnft.load(tmp_path / "fit.nc")
    assert back.data.identical(relu_fit.data)  # attributes too: prior, draws, modes
    # Sums over arrays that lie otherwise in memory differ in the last digit.
    pd.testing.assert_frame_equal(back.summary(), relu_fit.summary(), rtol=1e-12)
    assert back.negative_fraction.equals(relu_fit.negative_fraction)
    assert repr(back) == repr(relu_fit)
    raw = xr.open_datatree(tmp_path / "fit.nc", engine="h5netcdf")
    assert set(raw.children) == {"posterior", "sample_stats", "constant_data"}
    assert store.metadata(raw)["measure"] == LAMBDA_0.measure.to_json()
    raw.close()


def test_operators_that_a_name_would_not_bring_back_are_not_saved(relu_fit, tmp_path):
    own = nnft.Action([nnft.Operator(name="own", symbol="o", fields=(0, 0, 0, 0))])
    with pytest.raises(SpecError, match="neither built in nor of an installed"):
        dataclasses.replace(relu_fit, action=own).save(tmp_path / "own.nc")
    assert not list(tmp_path.iterdir())


def test_a_file_whose_integrals_are_others_is_refused(relu_fit, tmp_path):
    changed = dataclasses.replace(relu_fit, scale=relu_fit.scale * 1.01)
    changed.save(tmp_path / "fit.nc")
    with pytest.raises(SpecError, match="does not give the integrals in the file"):
        nnft.load(tmp_path / "fit.nc")


def test_operators_that_predict_the_same_are_refused():
    net = nnft.network("erf-net", width=200, input_dim=1, bias_std=1.0)
    ensemble = nnft.sample_ensemble(
        net, [-1.0, 0.2, 0.9], num_draws=2000, key=jax.random.key(0)
    )
    twin = nnft.Operator(name="twin", symbol="t", fields=(0, 0, 0, 0))
    with pytest.raises(SpecError, match="'lambda_0', 'twin' make the same"):
        fit_function_space(
            ensemble, nnft.Action(["lambda_0", twin]), [5.0], key=jax.random.key(1)
        )

from math import factorial

import dask.array
import h5netcdf
import jax
import numpy as np
import pytest
import xarray as xr
import zarr
from scipy import stats

import nnft_ppl as nnft
from nnft_ppl.correlators.drawn.from_draws import AutocorrelationWarning

X = np.array([-0.6, 0.3, 0.9])
FACTOR = np.array([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [0.2, 0.3, 1.1]])
MEAN = np.array([2.0, -3.0, 0.2])


def gaussian(num_draws, seed=0, mean=MEAN):
    noise = np.random.default_rng(seed).standard_normal((num_draws, 3))
    return mean + noise @ FACTOR.T


def same(found, other):
    for order in found.orders:
        np.testing.assert_array_equal(found.connected(order), other.connected(order))
    np.testing.assert_array_equal(found.joint_covariance, other.joint_covariance)


@pytest.fixture(scope="module")
def ensemble():
    net = nnft.network("mlp", width=8, input_dim=1, depth=2)
    return nnft.sample_ensemble(net, X, 5000, key=jax.random.key(1))


def test_a_gaussian_field_has_its_mean_its_covariance_and_nothing_else():
    found = nnft.correlators_from_draws(gaussian(100_000), X, orders=(5,))
    assert found.orders == (1, 2, 3, 4, 5)
    expected = {1: MEAN, 2: (FACTOR @ FACTOR.T)[np.triu_indices(3)]}
    joined = np.concatenate(
        [found.connected(k) - expected.get(k, 0.0) for k in found.orders]
    )
    chi2 = joined @ np.linalg.solve(found.joint_covariance, joined)
    assert 0.001 < stats.chi2.sf(chi2, len(joined)) < 0.999


def test_a_gamma_law_has_its_cumulants_of_every_order():
    shape, scale = 3.0, 1.5
    draws = np.random.default_rng(3).gamma(shape, scale, (400_000, 1))
    found = nnft.correlators_from_draws(draws, [0.0], orders=(1, 6))
    for k in found.orders:
        exact = shape * factorial(k - 1) * scale**k
        error = found.connected_error(k)[0]
        assert abs(found.connected(k)[0] - exact) < 4 * error
        assert error < 0.2 * exact


def test_a_lognormal_field_has_its_joint_cumulants():
    # log f ~ N(0, s): E[Π f] = exp(½ Σ s_ij over all pairs of legs).
    s = 0.05 * FACTOR @ FACTOR.T
    noise = np.random.default_rng(4).standard_normal((400_000, 3))
    draws = np.exp(noise @ np.linalg.cholesky(s).T)
    found = nnft.correlators_from_draws(draws, X, orders=(1, 2, 3))
    for k in (1, 2, 3):
        legs = found.entries(k)
        exact = np.exp(s[legs[:, :, None], legs[:, None]].sum(axis=(1, 2)) / 2)
        assert (abs(found.moment(k) - exact) < 4 * found.error(k)).all()
    # The third cumulant of three legs, by hand.
    mean = np.exp(np.diag(s) / 2)
    ratio = np.exp(s) - 1
    a, b, c = found.entries(3).T
    x, y, z = ratio[a, b], ratio[a, c], ratio[b, c]
    third = mean[a] * mean[b] * mean[c] * (x * y * z + x * y + y * z + x * z)
    gap = abs(found.connected(3) - third)
    assert (gap < 4 * found.connected_error(3)).all()


@pytest.mark.parametrize(("shift", "scale"), [(1e6, 1.0), (0.0, 1e-3), (128.0, 255.0)])
def test_no_digit_is_lost_to_the_mean_or_the_unit(shift, scale):
    draws = gaussian(3000)
    plain = nnft.correlators_from_draws(draws, X)
    moved = nnft.correlators_from_draws(shift + scale * draws, X)
    # What is left of the draws themselves beside the shift, in float64.
    tolerance = 1e-12 + 1e-15 * shift / scale
    for k in (2, 3, 4):
        size = abs(plain.connected(k)).max()
        np.testing.assert_allclose(
            moved.connected(k) / scale**k, plain.connected(k), atol=tolerance * size
        )
        np.testing.assert_allclose(
            moved.connected_error(k) / scale**k, plain.connected_error(k), rtol=1e-6
        )


def test_draws_read_back_from_any_file_give_the_same_bits(ensemble, tmp_path):
    values = ensemble.values
    expected = nnft.correlators_from_draws(values, X)
    np.save(tmp_path / "draws.npy", values)
    same(nnft.correlators_from_draws(np.load(tmp_path / "draws.npy", "r"), X), expected)
    stored = zarr.create_array(
        tmp_path / "draws.zarr", shape=values.shape, dtype="f4", chunks=(999, 3, 1)
    )
    stored[:] = values
    same(nnft.correlators_from_draws(zarr.open(tmp_path / "draws.zarr"), X), expected)
    ensemble.save(tmp_path / "draws.nc")
    with h5netcdf.File(tmp_path / "draws.nc", "r") as file:
        same(nnft.correlators_from_draws(file["values"], X), expected)
    with xr.open_dataset(tmp_path / "draws.nc", engine="h5netcdf") as data:
        turned = data["values"].transpose("output", "point", "draw")
        same(nnft.correlators_from_draws(turned, X), expected)
    lazy = dask.array.from_array(values, chunks=(777, 3, 1))
    same(nnft.correlators_from_draws(lazy, X), expected)


def test_networks_drawn_here_or_measured_as_they_are_drawn_agree(ensemble):
    found = nnft.correlators_from_draws(ensemble.values, X)
    measured = nnft.measure_correlators(
        ensemble.network,
        X,
        (1, 2, 3, 4),
        num_draws=5000,
        key=jax.random.key(1),
        estimator="moments",
    )
    for k in (1, 2, 3, 4):
        size = abs(measured.moment(k)).max() + abs(measured.moment(4)).max() ** (k / 4)
        np.testing.assert_allclose(
            found.connected(k), measured.connected(k), atol=1e-5 * size
        )
        np.testing.assert_allclose(
            found.connected_error(k), measured.connected_error(k), rtol=0.15
        )


def test_several_outputs_are_legs_as_of_a_measured_ensemble():
    net = nnft.network("relu-net", width=5, input_dim=1, output_dim=2)
    values = nnft.sample_ensemble(net, X[:2], 4000, key=jax.random.key(2)).values
    found = nnft.correlators_from_draws(values, X[:2])
    assert found.num_outputs == 2
    assert found.legs.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    one = nnft.correlators_from_draws(values[:, :, 1], X[:2])
    of_output = found.for_output(1)
    for k in (1, 2, 3, 4):
        np.testing.assert_allclose(of_output.connected(k), one.connected(k), rtol=1e-9)


def test_even_orders_alone_are_about_zero_and_refuse_a_mean():
    draws = gaussian(4000, mean=0.0)
    found = nnft.correlators_from_draws(draws, X, orders=(2, 4))
    assert found.orders == (2, 4)
    a, b = found.entries(2).T
    expected = (draws[:, a] * draws[:, b]).mean(axis=0)
    np.testing.assert_allclose(found.connected(2), expected, rtol=1e-12)
    with pytest.raises(nnft.SpecError, match="ask for odd orders too"):
        nnft.correlators_from_draws(draws + 0.2, X, orders=(2, 4))


def test_images_and_short_floats_are_summed_in_float64():
    draws = np.random.default_rng(5).integers(0, 256, (5000, 3), dtype=np.uint8)
    same(
        nnft.correlators_from_draws(draws, X),
        nnft.correlators_from_draws(draws.astype(float), X),
    )
    short = gaussian(3000).astype(np.float16)
    same(
        nnft.correlators_from_draws(short, X),
        nnft.correlators_from_draws(short.astype(float), X),
    )


def test_they_are_saved_and_loaded_without_a_plugin(tmp_path):
    found = nnft.correlators_from_draws(gaussian(2000)[None], X, chains=True, width=7)
    found.save(tmp_path / "c.nc")
    again = nnft.load(tmp_path / "c.nc")
    same(found, again)
    assert again.network == found.network
    assert again.network.width == 7
    np.testing.assert_array_equal(again.autocorrelation[3], found.autocorrelation[3])
    assert again.origin.function == "correlators_from_draws"


def test_a_file_keeps_the_kernel_at_the_inputs_and_takes_it_elsewhere(tmp_path):
    net = nnft.network("relu-net", width=5, input_dim=1, bias_std=1.0)
    found = nnft.correlators_from_draws(gaussian(2000), X, kernel=net.pair_kernel())
    np.testing.assert_array_equal(found.network.kernel(X), net.kernel(X))
    assert found.network.kernel([5.0])[0, 0] == net.kernel([5.0])[0, 0]
    found.save(tmp_path / "c.nc")
    again = nnft.load(tmp_path / "c.nc")
    np.testing.assert_array_equal(again.network.kernel(X), net.kernel(X))
    with pytest.raises(nnft.UnavailableError, match="give `kernel=` a function of two"):
        again.network.kernel([5.0])
    assert again.with_kernel(net).network.kernel([5.0]) == net.kernel([5.0])
    given = nnft.load(tmp_path / "c.nc", network=found.network)
    assert given.network.kernel([5.0]) == net.kernel([5.0])
    other = found.with_kernel(lambda x, y: 1.0 + x @ y)
    with pytest.raises(nnft.SpecError, match="off the one on file"):
        nnft.load(tmp_path / "c.nc", network=other.network)


def test_a_file_knows_a_kernel_by_the_network_that_it_is_of(tmp_path):
    net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    found = nnft.correlators_from_draws(gaussian(2000), X, kernel=net)
    found.save(tmp_path / "c.nc")
    again = nnft.load(tmp_path / "c.nc")
    assert again.network == found.network
    assert again.network.kernel([5.0]) == net.kernel([5.0])
    lonely = nnft.network("gauss-net", width=5, input_dim=1)
    assert found.with_kernel(lonely).network != found.network


@pytest.mark.parametrize(
    ("kernel", "match"),
    [
        (np.eye(2), r"`kernel` has shape \(2, 2\)"),
        ("rbf", "no array of real numbers"),
        (lambda x, y: np.outer(x, y), "cannot be evaluated"),
        (lambda x, y: jax.numpy.outer(x, y), "cannot be evaluated"),
        (lambda x, y: x[0] + 2 * y[0], "not symmetric"),
        (lambda x, y: -1.0 + 0 * x[0], "eigenvalue -3"),
    ],
)
def test_a_kernel_that_is_none_is_refused(kernel, match):
    with pytest.raises(nnft.SpecError, match=match):
        nnft.correlators_from_draws(gaussian(1000), X, kernel=kernel)


def broken(index, value):
    draws = gaussian(1000)
    draws[index] = value
    return draws


MASKED = np.ma.masked_array(gaussian(1000), mask=False)
MASKED[700, 1] = np.ma.masked


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (gaussian(1000) + 1j, "give real and imaginary part"),
        (gaussian(1000) > 0, r"write .astype\(float\)"),
        (MASKED, r"a masked entry at \[700, 1\]"),
        (broken((900, 2), np.nan), r"nan at \[900, 2\]"),
        (broken((3, 0), np.inf), r"inf at \[3, 0\]"),
        (broken((slice(None), 1), 0.1), "at point 1 are 0.1 in every draw"),
        (gaussian(1000)[:, :2], "of 2 inputs, and `x` has 3"),
        (gaussian(1000).T, "give their transpose"),
        (gaussian(900).reshape(3, 300, 3), "if the first axis counts chains"),
        (gaussian(900).reshape(9, 100, 3), "if the first axis counts chains"),
        (1e80 * gaussian(1000), "up to 1.*e.80.*order 4.*multiply them"),
        (gaussian(1000)[:, 0], r"expected \(draw, point\[, output\]\)"),
        (gaussian(30), "there are 30 draws, too few"),
        (np.zeros((0, 3)), "have shape"),
        ("draws.npy", "no array of real numbers"),
        (xr.DataArray(gaussian(99), dims=("draw", "site")), "expected draw and point"),
    ],
)
def test_draws_that_are_none_are_refused(values, match):
    with pytest.raises(nnft.SpecError, match=match):
        nnft.correlators_from_draws(values, X)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"x": [1.0, 1.0, 2.0]}, "given more than once"),
        ({"x": []}, "inputs hold no points"),
        ({"orders": (0,)}, "order 0 in `orders` is not supported"),
        ({"orders": (9,)}, "order 9 in `orders` is not supported"),
        ({"chains": 4}, "`chains` is 4"),
        ({"width": 0}, "`width` is 0"),
    ],
)
def test_other_arguments_that_are_unusable_are_refused(arguments, match):
    with pytest.raises(nnft.SpecError, match=match):
        nnft.correlators_from_draws(gaussian(500), **{"x": X, **arguments})


def test_draws_that_follow_one_another_are_noticed():
    walk = np.cumsum(gaussian(3000, mean=0.0), axis=0)
    with pytest.warns(AutocorrelationWarning, match="give chains=True"):
        nnft.correlators_from_draws(walk, X)


def test_there_is_nothing_to_draw_more_of():
    found = nnft.correlators_from_draws(gaussian(500), X)
    with pytest.raises(nnft.UnavailableError, match="draws from elsewhere"):
        nnft.sample_ensemble(found.network, X, 10, key=jax.random.key(0))
    with pytest.raises(nnft.UnavailableError, match="no kernel was given"):
        found.network.kernel(X)


@pytest.mark.slow
def test_errors_cover_the_truth_at_the_stated_rate():
    exact = {1: MEAN, 2: (FACTOR @ FACTOR.T)[np.triu_indices(3)]}
    scores = {k: [] for k in (1, 2, 3, 4)}
    for seed in range(200):
        found = nnft.correlators_from_draws(gaussian(3000, seed), X)
        for k, score in scores.items():
            gap = found.connected(k) - exact.get(k, 0.0)
            score.append(gap[0] / found.connected_error(k)[0])
    for score in scores.values():
        inside = int((np.abs(score) < 1).sum())
        assert stats.binomtest(inside, 200, 0.6827).pvalue > 1e-3
        assert abs(np.mean(score)) < 4 / 200**0.5

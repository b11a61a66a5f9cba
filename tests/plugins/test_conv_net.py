"""`conv-net`: kernel and forward pass by loops over positions, and in limits."""

import jax
import numpy as np
import pytest
from numpyro.handlers import seed
from oracles.layer_kernels import (
    convolution_kernel,
    convolve,
    erf_mean,
    grid_mean,
    relu_mean,
)

import nnft_ppl as nnft
from nnft_ppl import _pair_table

STDS = {"weight_std": 1.3, "bias_std": 0.4}
LINE, PLANE = (5, 2), (3, 4, 2)
LAYOUTS = [(p, r) for p in ("circular", "zero") for r in ("flatten", "pool")]


def build(shape, width=20, **changes):
    return nnft.network("conv-net", width=width, input_dim=shape, **(STDS | changes))


def inputs(shape, number=2):
    return np.random.default_rng(5).normal(size=(number, *shape))


def oracle(mean, x, **options):
    given = {"depth": 2, "kernel_size": 3, **STDS, **options}
    return np.array([[convolution_kernel(mean, a, b, **given) for b in x] for a in x])


@pytest.mark.parametrize("shape", [LINE, PLANE])
@pytest.mark.parametrize(("padding", "readout"), LAYOUTS)
def test_kernel_is_that_of_loops_over_all_pairs_of_positions(shape, padding, readout):
    x, options = inputs(shape), {"padding": padding, "readout": readout}
    found = build(shape, activation="relu", **options).kernel(x)
    np.testing.assert_allclose(found, oracle(relu_mean, x, **options), rtol=1e-12)


@pytest.mark.parametrize("readout", ["flatten", "pool"])
def test_kernel_of_deeper_nets_with_wider_filters(readout):
    x = inputs((6, 1))
    options = {"padding": "zero", "readout": readout, "depth": 3, "kernel_size": 5}
    found = build((6, 1), activation="erf", **options).kernel(x)
    np.testing.assert_allclose(found, oracle(erf_mean, x, **options), rtol=1e-11)


@pytest.mark.parametrize("readout", ["flatten", "pool"])
def test_kernel_of_an_activation_without_closed_form(readout):
    x, options = inputs((3, 1)), {"padding": "circular", "readout": readout}
    found = build((3, 1), activation="tanh", **options).kernel(x)
    expected = oracle(grid_mean(np.tanh), x, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("readout", ["flatten", "pool"])
def test_one_position_is_a_fully_connected_net(readout):
    x = inputs((1, 4), 3)
    found = build((1, 4), kernel_size=1, depth=3, readout=readout).kernel(x)
    mlp = nnft.network("mlp", width=20, input_dim=4, depth=3, **STDS)
    np.testing.assert_allclose(found, mlp.kernel(x[:, 0]), rtol=1e-12)


def test_averages_over_a_ring_do_not_see_where_it_begins():
    x = inputs((3, 4, 1), 1)[0]
    both = np.stack([x, np.roll(x, (1, 2), axis=(0, 1))])
    pooled = build((3, 4, 1), readout="pool").kernel(both)
    np.testing.assert_allclose(pooled, np.full((2, 2), pooled[0, 0]), rtol=1e-12)
    for options in ({"readout": "flatten"}, {"readout": "pool", "padding": "zero"}):
        kernel = build((3, 4, 1), **options).kernel(both)
        assert kernel[0, 1] < 0.99 * kernel[0, 0]


@pytest.mark.slow_but(
    "zero-flatten-shape0",
    "zero-flatten-shape1",
    "zero-pool-shape0",
    "circular-pool-shape0",
)
@pytest.mark.parametrize("shape", [LINE, PLANE])
@pytest.mark.parametrize(("padding", "readout"), LAYOUTS)
def test_forward_pass_is_a_sum_over_positions(shape, padding, readout):
    net = build(shape, 4, padding=padding, readout=readout, activation="tanh")
    x = inputs(shape)
    with jax.enable_x64(True):
        params = seed(net.prior, jax.random.key(1))()
        found = net.apply(params, x)
    p = {name: np.asarray(value) for name, value in params.items()}
    for image, output in zip(x, found, strict=True):
        for layer in range(2):
            image = convolve(image, p[f"W{layer}"], p[f"b{layer}"], padding)
            image = np.tanh(image)
        channels = image.reshape(-1, 4)
        features = channels.mean(axis=0) if readout == "pool" else channels.reshape(-1)
        np.testing.assert_allclose(output, features @ p["W2"] + p["b2"], rtol=1e-11)


@pytest.mark.slow_but("pool")
@pytest.mark.parametrize("readout", ["flatten", "pool"])
def test_two_point_function_approaches_the_kernel_as_one_over_channels(readout):
    """n (E K̂ − K) is the same at 5 and 20 channels, and not 0."""
    x, shifts, errors = inputs((3, 1), 1), [], []
    for width in (5, 20):
        net = build((3, 1), width, activation="sin", readout=readout, weight_std=2.0)
        found = nnft.measure_correlators(
            net, x, (2,), num_draws=100_000, key=jax.random.key(width)
        )
        assert found.estimator == "conditional"
        shifts.append(width * (found.connected(2)[0] - net.kernel(x)[0, 0]))
        errors.append(width * found.connected_error(2)[0])
    # The next order in 1/n: its size is at most that of the first over 5.
    tolerance = 4 * np.hypot(*errors) + abs(shifts[0]) / 5
    assert abs(shifts[0] - shifts[1]) < tolerance
    assert abs(shifts[0]) > 5 * errors[0]


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["flatten", "pool"])
def test_error_is_nothing_for_closed_forms_and_covers_the_quadrature(readout):
    x, options = 3 * inputs((3, 1)), {"readout": readout, "padding": "zero"}
    assert not build((3, 1), activation="erf", **options).kernel_error(x).any()
    plain = nnft.Activation(
        name="steep", function=lambda z: jax.scipy.special.erf(12 * z)
    )
    net = build((3, 1), activation=plain, **options)

    def steep_mean(uu, vv, uv):
        return erf_mean(144 * uu, 144 * vv, 144 * uv)

    error = net.kernel_error(x)
    gap = np.abs(net.kernel(x) - oracle(steep_mean, x, **options))
    assert (gap <= error + 1e-10).all()
    assert error.max() > 1e-9  # there is something to state
    assert np.isfinite(error).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((5, 1), {"activation": "erf", "depth": 1, "padding": "zero"}),
        ((3, 3, 1), {"readout": "pool"}),
    ],
)
def test_contract(shape, options):
    nnft.testing.check_architecture(build(shape, **options), num_draws=4_000)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        (8, {}, r"input shape \(8,\); expected \(length, channels\).*=\(8, 1\)"),
        ((2, 2, 2, 1), {}, r"\(2, 2, 2, 1\); expected \(length, channels\) or"),
        (1, {}, r"input_dim=\(5, 1\), or --input-dim 5x1 on the command line"),
        (3, {"kernel_size": 7}, "--input-dim 7x1"),
        ((1, 1), {}, r"`kernel_size` is 3.* larger inputs .*--input-dim 5x1"),
        (LINE, {"kernel_size": 2}, "`kernel_size` is 2; expected an odd number"),
        (LINE, {"kernel_size": 7}, r"`kernel_size` is 7, more than.*\(5, 2\)"),
        ((1, 5, 5), {}, r"`kernel_size` is 3, more than.*last axis is the channels"),
        (LINE, {"kernel_size": 0}, "`kernel_size` is 0; expected a value between 1"),
        (LINE, {"depth": 0}, "`depth` is 0; expected a value between 1"),
        (LINE, {"padding": "reflect"}, "`padding` is 'reflect'; choose one of"),
        (LINE, {"readout": "max"}, "`readout` is 'max'; choose one of"),
        (LINE, {"activation": "swish"}, "`activation` is 'swish'; choose one of"),
    ],
)
def test_what_makes_no_net_is_refused(shape, options, message):
    with pytest.raises(nnft.SpecError, match=message):
        build(shape, **options)


@pytest.mark.parametrize("budget", [1 << 30, 1 << 16, 1 << 14, 1])
def test_memory_of_a_table_over_pairs_is_bounded(monkeypatch, budget):
    """Blocks of rows, of columns where a row is too much, and at worst single pairs."""
    net, x = build((8, 1), readout="pool"), inputs((8, 1), 12).reshape(12, 8)
    expected = net.kernel(x)[:7, 7:]
    blocks, compiled = [], net._kernel_rows

    class Recorded:
        lower = compiled.lower

        def __call__(self, rows, columns):
            memory = compiled.lower(rows, columns).compile().memory_analysis()
            blocks.append((len(rows), len(columns), memory.temp_size_in_bytes))
            return compiled(rows, columns)

    monkeypatch.setattr(_pair_table, "_BLOCK_BYTES", budget)
    found = _pair_table.pair_table(Recorded(), x[:7], x[7:], "kernel")
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert all(size <= budget or r * c == 1 for r, c, size in blocks)
    shapes = {(r, c) for r, c, _ in blocks}
    if budget in (1 << 30, 1):  # all at once, or single pairs
        assert shapes == {(7, 5) if budget > 1 else (1, 1)}

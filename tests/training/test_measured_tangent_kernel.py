import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import nnft_ppl as nnft

KEY = jax.random.key(1)
X = np.random.default_rng(0).normal(size=(3, 2))
STDS = {"weight_std": 1.3, "bias_std": 0.4}


def build(name, width, **options):
    return nnft.network(name, width=width, input_dim=2, **STDS, **options)


@pytest.mark.parametrize("parametrization", ["ntk", "standard"])
def test_of_one_hidden_layer_the_mean_is_the_limit_at_every_width(parametrization):
    net = build("erf-net", 6)
    found = nnft.measure_tangent_kernel(
        net, X, num_draws=4000, key=KEY, parametrization=parametrization
    )
    limit = net.tangent_kernel(X, parametrization=parametrization)
    assert (abs(found.mean - limit) < 4 * found.mean_error).all()
    assert (found.mean_error < 0.05 * found.mean.max()).all()


@pytest.mark.slow_but("conv-net")
@pytest.mark.parametrize(
    ("name", "input_dim", "options"),
    [
        ("mlp", 2, {"depth": 3, "activation": "tanh"}),
        ("mlp", 2, {"depth": 2, "weight_law": "uniform"}),
        ("residual-mlp", 2, {"depth": 2, "branch_scale": 0.7}),
        ("conv-net", (4, 2), {"readout": "pool", "padding": "zero"}),
    ],
    ids=["mlp", "uniform", "residual-mlp", "conv-net"],
)
def test_of_deep_nets_it_is_the_limit_up_to_one_over_the_width(
    name, input_dim, options
):
    """Five standard errors, and as much of its size as an inverse width."""
    shape = (3, 4, 2) if name == "conv-net" else (3, 2)
    x = np.random.default_rng(5).normal(size=shape)
    net = nnft.network(name, width=80, input_dim=input_dim, **STDS, **options)
    for kind in ("ntk", "standard"):
        found = nnft.measure_tangent_kernel(
            net, x, num_draws=1000, key=KEY, parametrization=kind
        )
        limit = net.tangent_kernel(x, parametrization=kind)
        size = np.sqrt(np.outer(np.diag(limit), np.diag(limit)))
        allowed = 5 * found.mean_error + size / net.width
        assert (abs(found.mean - limit) < allowed).all()


def test_gradients_are_those_by_hand_of_the_networks_of_sample_ensemble():
    """f = a·erf(w x), θ = σω: Θ = Σ σ_a² erf² + σ_w² a² (2/√π)² e^{−2z²} x²."""

    def apply(params, x):
        return params["a"] @ jax.scipy.special.erf(params["w"] * x[0])

    prior = {
        "a": dist.Uniform(-1.0, 1.0).expand((3,)).to_event(1),  # σ² = 1/3
        "w": dist.Normal(0.0, 0.7).expand((3,)).to_event(1),
    }
    own = nnft.Network.build(
        nnft.architecture_from_function("own", apply, prior, width=3),
        width=3,
        input_dim=1,
    )
    drawn = nnft.sample_ensemble(own, [0.8], 2000, key=KEY).values[:, 0, 0]
    found = nnft.measure_tangent_kernel(own, [0.8], num_draws=2000, key=KEY)
    rng = np.random.default_rng(1)
    a, w = rng.uniform(-1, 1, (10**5, 3)), 0.7 * rng.normal(size=(10**5, 3))
    z = 0.8 * w
    slope = 2 / np.pi**0.5 * np.exp(-(z**2))
    from scipy.special import erf

    theta = np.sum(erf(z) ** 2 / 3 + 0.49 * (a * slope * 0.8) ** 2, axis=1)
    assert abs(found.mean.item() - theta.mean()) < 4.5 * found.mean_error.item()
    assert abs(found.std.item() - theta.std()) < 4.5 * found.std_error.item()
    assert drawn.std() == pytest.approx(np.sum(a * erf(z), axis=1).std(), rel=0.1)


def test_errors_and_covariance_are_those_of_the_draws():
    """Of erf-net at one input Θ is a sum over N independent units and a bias."""
    means = [
        nnft.measure_tangent_kernel(
            build("erf-net", 4), X, num_draws=100, key=jax.random.key(s)
        )
        for s in range(30)
    ]
    scatter = np.std([m.mean for m in means], axis=0, ddof=1)
    claimed = np.sqrt(np.mean([m.mean_error**2 for m in means], axis=0))
    assert (abs(scatter / claimed - 1) < 5 / 58**0.5).all()
    first = means[0]
    assert first.covariance.shape == (6, 6)
    assert np.linalg.eigvalsh(first.covariance)[0] > -1e-9
    np.testing.assert_allclose(
        np.diag(first.std) ** 2, np.diag(first.covariance)[[0, 3, 5]]
    )


def test_it_falls_as_one_over_the_width():
    net = build("mlp", 1, depth=2)
    law = nnft.tangent_kernel_by_width(net, [8, 64], X, num_draws=1500, key=KEY)
    slope, error = law.spread_exponent
    assert abs(slope + 1) < max(4 * error, 0.1)
    assert error < 0.1
    assert law.table.index.tolist() == [8, 64]


def test_without_a_limit_there_is_a_spread_alone():
    net = nnft.network("cos-net", width=1, input_dim=2)
    law = nnft.tangent_kernel_by_width(net, [4, 16], X, num_draws=200, key=KEY)
    assert law.table["shift"].isna().all()
    assert np.isnan(law.shift_exponent[0])
    assert law.spread_exponent[0] < -0.5


def test_outputs_are_legs():
    net = nnft.network("erf-net", width=200, input_dim=2, output_dim=2, **STDS)
    found = nnft.measure_tangent_kernel(net, X[:2], num_draws=300, key=KEY)
    limit = np.kron(net.tangent_kernel(X[:2]), np.eye(2))
    assert (abs(found.mean - limit) < 4.5 * found.mean_error + 1e-6).all()


def test_it_is_saved(tmp_path):
    found = nnft.measure_tangent_kernel(build("erf-net", 4), X, num_draws=30, key=KEY)
    found.save(tmp_path / "theta.nc")
    again = nnft.load(tmp_path / "theta.nc")
    assert isinstance(again, nnft.MeasuredTangentKernel)
    np.testing.assert_array_equal(again.covariance, found.covariance)
    np.testing.assert_array_equal(again.std_error, found.std_error)
    assert repr(again) == repr(found)


def test_what_cannot_be_measured_is_refused():
    net = build("erf-net", 4)
    with pytest.raises(nnft.SpecError, match="use fewer inputs"):
        nnft.measure_tangent_kernel(net, np.random.rand(200, 2), key=KEY)
    with pytest.raises(nnft.SpecError, match="from 20"):
        nnft.measure_tangent_kernel(net, X, num_draws=3, key=KEY)
    with pytest.raises(nnft.SpecError, match="two different ones"):
        nnft.tangent_kernel_by_width(net, [5, 5], X, key=KEY)
    heavy = build("mlp", 4, weight_law="student-t", degrees_of_freedom=1.5)
    with pytest.raises(nnft.UnavailableError, match="no finite standard deviation"):
        nnft.measure_tangent_kernel(heavy, X, key=KEY)

    def apply(params, x):
        return jnp.sqrt(params) * x[0]

    bad = nnft.architecture_from_function("bad", apply, dist.Normal(), width=1)
    bad = nnft.Network.build(bad, width=1, input_dim=1)
    with pytest.raises(nnft.SpecError, match="give NaN"):
        nnft.measure_tangent_kernel(bad, [1.0], key=KEY)

import jax
import numpy as np
import pytest
from oracles import finite_width_posterior, quartic_regression

import nnft_ppl as nnft
from nnft_ppl.bayes import kernel_cumulants
from nnft_ppl.bayes.data import checked_data
from nnft_ppl.bayes.effective_theory import check_fit, expand_effective_theory
from nnft_ppl.bayes.first_order import expand_known, unpacked
from nnft_ppl.correlators.symmetric import entries

KEY = jax.random.key(5)
X = np.array([-1.2, -0.3, 0.4, 1.1])
Y = np.array([0.4, -0.5, 0.2, 0.9])
X_NEW = np.array([-0.8, 0.5, 2.0])


def expansion(net, noise=0.3, num_draws=1000, outputs=1):
    targets = Y if outputs == 1 else np.stack([Y, Y[::-1]], axis=1)
    data = checked_data(net, X, targets, X_NEW)
    return kernel_cumulants.expand(net, data, noise, num_draws, KEY), data


WIDTHS = np.array([100, 200, 400, 800])


def slopes(network, exact, outputs=1):
    """Powers of the width with which the exact posterior differs from others.

    Of log evidence, means and variances: from the Gaussian process, and from the first
    order.
    """
    first, second = [], []
    for width in WIDTHS:
        found, data = expansion(network(int(width)), outputs=outputs)
        assert found.source == "exact"
        points = data.points.astype(float)  # as networks see them
        truth = exact(points[data.rows], data.y, points[data.new_rows], int(width))
        for gaps, other in ((first, found.gaussian), (second, found)):
            parts = zip(
                truth, (other.log_evidence, other.mean, other.variance), strict=True
            )
            gaps.append(np.concatenate([np.ravel(one - part) for one, part in parts]))
    return (
        np.polyfit(np.log(WIDTHS), np.log(np.abs(gaps)), 1)[0]
        for gaps in (first, second)
    )


@pytest.mark.parametrize("outputs", [1, 2])
def test_exact_minus_first_order_falls_as_the_square_of_one_over_width(outputs):
    of_gaussian, of_first = slopes(
        lambda width: nnft.network(
            "mlp",
            width=width,
            input_dim=1,
            output_dim=outputs,
            depth=1,
            activation="identity",
            weight_std=1.2,
        ),
        lambda x, y, x_new, width: finite_width_posterior.deep_linear(
            x,
            y,
            x_new,
            widths=(width,),
            weight_std=1.2,
            noise_std=0.3,
            num_nodes=20_000,
        ),
        outputs,
    )
    assert abs(of_gaussian + 1).max() < 0.1, of_gaussian
    assert abs(of_first + 2).max() < 0.1, of_first


def test_and_so_it_does_for_a_network_that_is_not_linear():
    of_gaussian, of_first = slopes(
        lambda width: nnft.network(
            "relu-net", width=width, input_dim=1, weight_std=1.2, bias_std=0.0
        ),
        lambda x, y, x_new, width: finite_width_posterior.relu_on_a_line(
            x[:, 0],
            y[:, 0],
            x_new[:, 0],
            width=width,
            weight_std=1.2,
            noise_std=0.3,
        ),
    )
    assert abs(of_gaussian + 1).max() < 0.1, of_gaussian
    assert abs(of_first + 2).max() < 0.1, of_first


def test_covariances_of_kernels_are_those_of_drawn_networks():
    net = nnft.network("erf-net", width=100, input_dim=1, weight_std=1.4, bias_std=0.3)
    exact, data = expansion(net)
    kernel = net.kernel(data.points.astype(float))
    drawn = kernel_cumulants._measured(net, kernel, data, 0.3, 4000, KEY)
    for name in ("log_evidence", "mean", "variance"):
        gap = getattr(exact.correction, name) - getattr(drawn.correction, name)
        # Drawn ones hold no higher orders: E δδ is C exactly.
        assert (abs(gap) < 4 * getattr(drawn.error, name) + 1e-12).all()
        assert (abs(gap) < 0.5 * abs(getattr(exact.correction, name)).max()).all()
    assert drawn.spread == pytest.approx(exact.spread, rel=0.15)


@pytest.mark.slow
def test_recursion_gives_kernels_of_deep_networks():
    net = nnft.network(
        "mlp",
        width=200,
        input_dim=1,
        depth=2,
        activation="tanh",
        weight_std=1.4,
        bias_std=0.3,
    )
    known, data = expansion(net)
    assert known.source == "recursion"
    kernel = net.kernel(data.points.astype(float))
    drawn = kernel_cumulants._measured(net, kernel, data, 0.3, 8000, KEY)
    for name in ("log_evidence", "mean", "variance"):
        gap = getattr(known.correction, name) - getattr(drawn.correction, name)
        # Drawn ones hold the next order, of some per cent.
        scale = abs(getattr(known.correction, name)).max()
        assert (abs(gap) < 4 * getattr(drawn.error, name) + 0.1 * scale).all()


def test_many_inputs_are_measured():
    net = nnft.network("relu-net", width=50, input_dim=1, weight_std=1.0)
    x = np.linspace(-1, 1, 20)
    data = checked_data(net, x, np.sin(x), X_NEW)
    found = kernel_cumulants.expand(net, data, 0.3, 300, KEY)
    assert found.source == "measured"
    assert (found.error.mean > 0).all()


@pytest.mark.parametrize(("scale", "noise", "width"), [(3, 0.1, 20), (6, 0.3, 100)])
def test_it_holds_where_the_predictive_is_near_whatever_the_evidences_do(
    scale, noise, width
):
    net = nnft.network(
        "relu-net", width=width, input_dim=1, weight_std=1.2, bias_std=0.0
    )
    data = checked_data(net, X, scale * Y, X_NEW)
    points = data.points.astype(float)[:, 0]
    _, mean, variance = finite_width_posterior.relu_on_a_line(
        points[data.rows],
        scale * Y,
        points[data.new_rows],
        width=width,
        weight_std=1.2,
        noise_std=noise,
    )
    found = kernel_cumulants.expand(net, data, noise, 100, KEY)
    off = np.max(abs(found.mean - mean) / np.sqrt(variance))
    assert found.spread > 1  # log evidences of networks differ by more than one
    assert found.holds == (off < 0.1)
    assert found.holds == (scale == 3)


def test_a_first_order_that_does_not_hold_is_said_to_be_none():
    net = nnft.network("relu-net", width=2, input_dim=1, weight_std=1.0)
    data = checked_data(net, X, 6 * Y, X_NEW)
    found = kernel_cumulants.expand(net, data, 0.3, 100, KEY)
    assert not found.holds
    assert found.message.startswith("by its own size the first order in 1/N is not")


def relu_fit(operators, width=100, **options):
    net = nnft.network("relu-net", width=width, input_dim=1, weight_std=1.0)
    correlators = nnft.exact_correlators(net, [0.2, 0.6, 1.2], (2, 4, 6))
    action = nnft.Action(operators, **options)
    return net, nnft.fit_couplings(correlators, action, [10.0], key=KEY)


def test_a_contact_that_is_the_whole_four_point_function_is_the_first_order():
    net, fit = relu_fit(["lambda_0"])
    x, y, x_new = [0.2, 0.5, 0.9], [0.5, -0.1, 0.8], [0.3, 1.2]
    data = checked_data(net, x, y, x_new)
    known = kernel_cumulants.expand(net, data, 0.3, 100, KEY)
    theory = expand_effective_theory(fit, net, data, 0.3)
    for name in ("log_evidence", "mean", "covariance"):
        np.testing.assert_allclose(
            getattr(theory, name), getattr(known, name), rtol=1e-7
        )


def test_regression_with_a_local_quartic_operator_is_its_integral():
    net = nnft.network("erf-net", width=20, input_dim=1, weight_std=1.4, bias_std=0.0)
    correlators = nnft.exact_correlators(net, [-0.8, 0.3, 1.0], (2, 4))
    action = nnft.Action(["lambda_0"])
    fit = nnft.fit_couplings(correlators, action, [3.0], key=KEY)
    data = checked_data(net, X, Y, X_NEW)
    theory = expand_effective_theory(fit, net, data, 0.3)
    nodes, weights = np.polynomial.legendre.leggauss(120)
    points = np.concatenate([3 * nodes, X, X_NEW])
    added = quartic_regression.first_order(
        net.kernel(points),
        np.concatenate([3 * weights, np.zeros(7)]),
        np.arange(120, 124),
        Y,
        0.3,
        np.arange(124, 127),
    )
    coupling = (fit.dimensionless / fit.likelihood.scale).mean()
    correction = theory.correction
    found = (correction.log_evidence, correction.mean[:, 0], correction.variance[:, 0])
    for one, other in zip(found, added, strict=True):
        np.testing.assert_allclose(one, coupling * other, rtol=1e-4, atol=1e-8)
    relative = (fit.dimensionless.std(ddof=1) / abs(fit.dimensionless.mean())).item()
    np.testing.assert_allclose(
        theory.error.mean, relative * abs(correction.mean), rtol=1e-3
    )


def test_the_derivative_of_a_density_in_its_coupling_is_the_first_order():
    kernel = np.array([[1.0, 0.4], [0.4, 0.7]])
    weights, y = np.array([0.6, 1.1]), np.array([0.8])
    given = kernel, weights, [0], y, 0.5, [0, 1]
    step = 1e-4
    above = quartic_regression.by_density(*given, step)
    below = quartic_regression.by_density(*given, -step / 10)
    slopes = [(a - b) / (1.1 * step) for a, b in zip(above, below, strict=True)]
    formula = quartic_regression.first_order(*given)
    # And the same by the symmetric covariance that the package uses.
    net = nnft.network("erf-net", width=2, input_dim=1)
    data = checked_data(net, [0.0], y, [0.0, 1.0])
    legs = entries(2, 2)
    four = -24 * np.einsum("h,ph,qh,rh,sh->pqrs", weights, *[kernel] * 4)
    packed = four[legs[:, 0], legs[:, 1]][:, legs[:, 0], legs[:, 1]] / 3
    _, (_, added), _ = expand_known(kernel, np.zeros((2, 2)), [packed], data, 0.5)
    for slope, one, other in zip(
        slopes,
        formula,
        (added.log_evidence, added.mean[:, 0], added.variance[:, 0]),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-10)
        np.testing.assert_allclose(slope, one, rtol=5e-3, atol=5e-3)
    assert unpacked(np.arange(3), 2).tolist() == [[0, 1], [1, 2]]


def test_fits_that_no_regression_can_be_made_with_are_refused():
    net, fit = relu_fit(["lambda_0"])
    data = checked_data(net, X, Y, X_NEW)
    with pytest.raises(nnft.SpecError, match="couplings depend on the width"):
        check_fit(fit, net.with_width(50), data)
    many = checked_data(net, np.linspace(0.1, 1, 20), np.ones(20), X_NEW)
    with pytest.raises(nnft.UnavailableError, match="23 different inputs"):
        check_fit(fit, net, many)
    _, sextic = relu_fit(["lambda_0", "kappa"])
    with pytest.raises(nnft.UnavailableError, match=r"\['kappa'\] have not four"):
        check_fit(sextic, net, data)
    _, bare = relu_fit(["lambda_0"], scheme="bare")
    with pytest.raises(nnft.UnavailableError, match="renormalised scheme"):
        check_fit(bare, net, data)

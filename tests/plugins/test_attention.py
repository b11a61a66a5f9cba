"""`attention`: exact moments of one head by brute force, and against sampling."""

from itertools import combinations_with_replacement

import jax
import numpy as np
import pytest
from numpyro.handlers import seed

import nnft_ppl as nnft

HEADS, WEIGHT_STD, BIAS_STD = 20, 1.2, 0.4
X = np.array(  # (point, token, dim)
    [[[1.0, -0.4], [0.3, 0.9]], [[0.2, 0.5], [-0.8, 1.0]], [[0.7, 0.7], [0.1, -0.6]]]
)
PAIRS = list(combinations_with_replacement(range(len(X)), 2))
LEGS = list(combinations_with_replacement(range(len(X)), 4))


def build(shape=(2, 2), width=HEADS, **changes):
    given = {"weight_std": WEIGHT_STD, "bias_std": BIAS_STD} | changes
    return nnft.network("attention", width=width, input_dim=shape, **given)


def head_kernels(x, projections, scores):
    """(σ_W²/head_dim) φ(x)·φ(x') of heads, (head, point, point), written out.

    `projections` has shape (3, head, dim, component), in units of σ_W/√dim.
    """
    queries, keys, values = WEIGHT_STD / x.shape[2] ** 0.5 * projections
    size = queries.shape[2]
    outputs = []
    for tokens in x:
        total = 0.0
        for query_token in tokens:
            q = np.einsum("d,hdc->hc", query_token, queries)
            logits = np.stack(
                [np.sum(q * np.einsum("d,hdc->hc", t, keys), axis=1) for t in tokens]
            ) / np.sqrt(size)
            if scores == "softmax":
                logits = np.exp(logits - logits.max(axis=0))
                logits = logits / logits.sum(axis=0)
            for weight, token in zip(logits, tokens, strict=True):
                total = total + weight[:, None] * np.einsum("d,hdc->hc", token, values)
        outputs.append(total / len(tokens))
    phi = np.stack(outputs, axis=1)
    return WEIGHT_STD**2 * np.einsum("hxc,hyc->hxy", phi, phi) / size


def head_moments(x, head_dim):
    """E K̂ and E K̂ K̂ of one head with identity scores, exactly.

    No projection weight has a power above 4 there, which three nodes of a Gauss–Hermite
    rule integrate exactly, so that a grid over all weights is an exact average.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    shape = (3, x.shape[2], head_dim)
    grid = np.indices((3,) * np.prod(shape)).reshape(np.prod(shape), -1)
    chance = np.prod(weights[grid] / np.sqrt(2 * np.pi), axis=0)
    projections = nodes[grid].T.reshape(-1, *shape).swapaxes(0, 1)
    kernels = head_kernels(x, projections, "identity")
    first = np.einsum("h,hxy->xy", chance, kernels)
    weighted = kernels.reshape(len(chance), -1)
    second = (chance[:, None] * weighted).T @ weighted
    return first, second.reshape(first.shape * 2)


def four_point(head_dim, heads):
    """Σ_3 Cov(K̂12, K̂34)/H over independent heads (theory.md §3)."""
    first, second = head_moments(X, head_dim)
    covariance = second - np.multiply.outer(first, first)
    return np.array(
        [
            covariance[i, j, k, m] + covariance[i, k, j, m] + covariance[i, m, j, k]
            for i, j, k, m in LEGS
        ]
    ) / float(heads)


@pytest.mark.parametrize("head_dim", [1, 2])
def test_identity_kernel_is_the_brute_force_average_over_one_head(head_dim):
    expected = BIAS_STD**2 + head_moments(X, head_dim)[0]
    found = build(head_dim=head_dim).kernel(X)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.slow_but("1")
@pytest.mark.parametrize("head_dim", [1, 2])
def test_sampled_correlators_are_the_exact_ones(head_dim):
    found = nnft.measure_correlators(
        build(head_dim=head_dim), X, (2, 4), num_draws=50_000, key=jax.random.key(7)
    )
    assert found.estimator == "conditional"
    expected = [BIAS_STD**2 + head_moments(X, head_dim)[0][pair] for pair in PAIRS]
    z = (found.connected(2) - expected) / found.connected_error(2)
    assert np.abs(z).max() < 4.5
    z = found.connected(4) - four_point(head_dim, HEADS)
    assert np.abs(z / found.connected_error(4)).max() < 4.5


@pytest.mark.parametrize("head_dim", [1, 2])
def test_one_head_of_large_head_dim_stays_non_gaussian(head_dim):
    """One token of one number: Var K̂ = K_W² [3(1 + 2/head_dim)² − 1] of one head.

    Given v and q·k the output is normal; E (q·k)⁴ and E |v|⁴ make the bracket, which
    tends to 2 as head_dim grows: heads, not components, make the field Gaussian.
    """
    first, second = head_moments(np.ones((1, 1, 1)), head_dim)
    found = second.item() / first.item() ** 2 - 1
    assert found == pytest.approx(3 * (1 + 2 / head_dim) ** 2 - 1, rel=1e-12)


def test_four_point_function_of_many_components_is_that_of_the_formula():
    net = build((1, 1), width=10, head_dim=16, weight_std=1.0, bias_std=0.0)
    found = nnft.measure_correlators(
        net, [[1.0]], (4,), num_draws=100_000, key=jax.random.key(9)
    )
    expected = 3 / 10 * (3 * (1 + 2 / 16) ** 2 - 1)
    error = found.connected_error(4)[0]
    assert abs(found.connected(4)[0] - expected) < 4.5 * error
    assert error < 0.05 * expected


@pytest.mark.slow
def test_softmax_two_point_function_agrees_with_heads_simulated_apart():
    x, heads = X, 200_000
    generator = np.random.default_rng(4)
    projections = generator.normal(size=(3, heads, 2, 3))
    kernels = head_kernels(x, projections, "softmax")
    found = nnft.measure_correlators(
        build(head_dim=3, scores="softmax"),
        x,
        (2, 4),
        num_draws=20_000,
        key=jax.random.key(6),
    )
    rows, columns = np.array(PAIRS).T
    simulated = kernels[:, rows, columns]
    error = simulated.std(axis=0) / heads**0.5
    gap = found.connected(2) - BIAS_STD**2 - simulated.mean(axis=0)
    assert np.abs(gap / np.hypot(error, found.connected_error(2))).max() < 4.5


@pytest.mark.slow
def test_softmax_of_one_token_is_a_linear_net():
    """The only weight is 1: Cov(K̂12, K̂34) = σ_W⁴ (c13 c24 + c14 c23)/(H head_dim)."""
    x = np.array([[[1.0, -0.4]], [[0.3, 0.9]]])
    net = build((1, 2), head_dim=2, scores="softmax")
    found = nnft.measure_correlators(
        net, x, (2, 4), num_draws=50_000, key=jax.random.key(8)
    )
    c = WEIGHT_STD**2 * x[:, 0] @ x[:, 0].T / 2
    pairs = combinations_with_replacement(range(2), 2)
    expected = [BIAS_STD**2 + WEIGHT_STD**2 * c[pair] for pair in pairs]
    z = (found.connected(2) - expected) / found.connected_error(2)
    assert np.abs(z).max() < 4.5
    scale = 2 * WEIGHT_STD**4 / (HEADS * 2)  # each product comes from two pairings
    expected = [
        scale * (c[i, j] * c[k, m] + c[i, k] * c[j, m] + c[i, m] * c[j, k])
        for i, j, k, m in combinations_with_replacement(range(2), 4)
    ]
    z = (found.connected(4) - expected) / found.connected_error(4)
    assert np.abs(z).max() < 4.5


@pytest.mark.parametrize("scores", ["identity", "softmax"])
def test_order_of_the_tokens_does_not_matter(scores):
    net = build((3, 2), scores=scores)
    x = np.random.default_rng(0).normal(size=(4, 3, 2))
    with jax.enable_x64(True):
        params = seed(net.prior, jax.random.key(0))()
        here, there = net.apply(params, x), net.apply(params, x[:, [2, 0, 1]])
    np.testing.assert_allclose(here, there, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "options"),
    [((2, 2), {}), ((3, 2), {"scores": "softmax"})],
)
def test_contract(shape, options):
    nnft.testing.check_architecture(build(shape, **options), num_draws=4_000)


def test_softmax_says_why_it_has_no_kernel():
    net = build(scores="softmax")
    with pytest.raises(nnft.UnavailableError, match="softmax attention has no closed"):
        net.kernel(X)


@pytest.mark.parametrize("shape", [6, (3, 2, 1)])
def test_inputs_that_are_no_sequences_are_refused(shape):
    with pytest.raises(
        nnft.SpecError, match=r"input_dim=\(tokens, dim\).*--input-dim 3x2"
    ):
        build(shape)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head_dim": 0}, "head_dim.*between 1"),
        ({"scores": "relu"}, "scores.*choose one of.*softmax"),
        ({"num_heads": 4}, "no option.*num_heads"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(nnft.SpecError, match=message):
        build(**options)

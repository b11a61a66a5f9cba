import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

import nnft_ppl as nnft
from nnft_ppl.bayes.random_kernel import names_of_readout

X = np.array([[-1.0], [0.2], [0.9]])
NET = nnft.network("erf-net", width=6, input_dim=1, weight_std=1.2, bias_std=0.5)


def model(x, y=None, network=NET):
    kernel = numpyro.deterministic("kernel", nnft.random_kernel(network, x))
    covariance = kernel + 0.09 * jnp.eye(len(x))
    numpyro.sample("y", dist.MultivariateNormal(0.0, covariance), obs=y)


@pytest.mark.parametrize(
    ("name", "options", "hidden"),
    [
        ("erf-net", {}, {"W0", "b0"}),
        ("mlp", {"depth": 2}, {"W0", "b0", "W1", "b1"}),
        ("residual-mlp", {}, None),
    ],
)
def test_hidden_parameters_are_sites_and_the_readout_is_none(name, options, hidden):
    net = nnft.network(
        name, width=4, input_dim=1, weight_std=1.0, bias_std=0.5, **options
    )
    trace = handlers.trace(handlers.seed(model, jax.random.key(0))).get_trace(
        X, network=net
    )
    sites = {n for n, site in trace.items() if site["type"] == "sample"} - {"y"}
    assert sites == (hidden or sites)
    assert not sites & names_of_readout(net)
    every = set(handlers.trace(handlers.seed(net.prior, jax.random.key(0))).get_trace())
    assert sites | names_of_readout(net) == every
    assert len(names_of_readout(net)) == 2


def test_its_mean_over_the_prior_is_the_two_point_function():
    drawn = Predictive(model, num_samples=20_000)(jax.random.key(1), X)["kernel"]
    error = drawn.std(axis=0) / 20_000**0.5
    assert (abs(drawn.mean(axis=0) - NET.kernel(X)) < 4.5 * error).all()


def test_given_the_parameters_it_is_the_covariance_of_the_outputs():
    params = handlers.seed(NET.prior, jax.random.key(2))()
    kernel = handlers.substitute(nnft.random_kernel, data=params)
    keys = jax.random.split(jax.random.key(3), 40_000)

    def output(key):
        first, second = jax.random.split(key)
        law = 1.2 / 6**0.5 * jax.random.normal(first, (6, 1))
        bias = 0.5 * jax.random.normal(second, (1,))
        return NET.apply({**params, "W1": law, "b1": bias}, X)[:, 0]

    draws = jax.vmap(output)(keys)
    np.testing.assert_allclose(np.cov(draws.T), kernel(NET, X), atol=0.06)


def test_plates_give_independent_networks():
    def groups():
        with numpyro.plate("groups", 4):
            return nnft.random_kernel(NET, X)

    kernel = handlers.seed(groups, jax.random.key(0))()
    assert kernel.shape == (4, 3, 3)
    assert len(np.unique(np.asarray(kernel)[:, 0, 0])) == 4


def test_scales_may_be_sites():
    def scaled():
        weight_std = numpyro.sample("weight_std", dist.LogNormal(0.0, 0.5))
        bias_std = numpyro.sample("bias_std", dist.LogNormal(0.0, 0.5))
        nnft_kernel = nnft.random_kernel(
            NET, X, weight_std=weight_std, bias_std=bias_std
        )
        numpyro.deterministic("kernel", nnft_kernel)

    values = {"weight_std": 1.2, "bias_std": 0.5}
    fixed = handlers.substitute(scaled, data=values)
    drawn = Predictive(fixed, num_samples=20_000)(jax.random.key(1))["kernel"]
    error = drawn.std(axis=0) / 20_000**0.5
    assert (abs(drawn.mean(axis=0) - NET.kernel(X)) < 4.5 * error).all()


@pytest.mark.slow
def test_a_model_with_it_agrees_with_the_posterior():
    y = np.array([0.5, -0.2, 1.0])

    def regression(y):
        x = np.concatenate([X, [[0.5]]])
        kernel = nnft.random_kernel(NET, x)
        seen = kernel[:3, :3] + 0.09 * jnp.eye(3)
        numpyro.sample("y", dist.MultivariateNormal(0.0, seen), obs=y)
        numpyro.deterministic("mean", kernel[3, :3] @ jnp.linalg.solve(seen, y))

    mcmc = MCMC(
        NUTS(regression),
        num_warmup=300,
        num_samples=3000,
        num_chains=2,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(4), y)
    means = np.asarray(mcmc.get_samples(group_by_chain=True)["mean"], np.float64)
    error = means.std() / numpyro.diagnostics.effective_sample_size(means) ** 0.5
    post = nnft.posterior(
        NET, X, y, [[0.5]], noise_std=0.3, num_draws=20_000, key=jax.random.key(0)
    )
    error = np.hypot(error, post.mean_error[0])
    assert error < 0.01
    assert abs(means.mean() - post.mean[0]) < 4 * error


def test_variational_inference_runs_on_any_likelihood():
    def classes(x, labels):
        kernel = nnft.random_kernel(NET, x) + 1e-4 * jnp.eye(len(x))
        field = numpyro.sample("field", dist.MultivariateNormal(0.0, kernel))
        numpyro.sample("labels", dist.Bernoulli(logits=field), obs=labels)

    svi = SVI(classes, AutoNormal(classes), numpyro.optim.Adam(0.01), Trace_ELBO())
    labels = np.array([1, 0, 1])
    result = svi.run(jax.random.key(0), 200, X, labels, progress_bar=False)
    assert result.losses[-50:].mean() < result.losses[:50].mean()


def test_networks_without_a_gaussian_readout_are_refused():
    net = nnft.network("mlp", width=4, input_dim=1, weight_law="laplace")
    with pytest.raises(nnft.UnavailableError, match="no Gaussian readout"):
        handlers.seed(nnft.random_kernel, jax.random.key(0))(net, X)

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest
from oracles.training import Layers, ridge_readout

import nnft_ppl as nnft
from nnft_ppl.ensemble.device_sizes import CPU
from nnft_ppl.ensemble.model import stream_at
from nnft_ppl.training import langevin, stream
from nnft_ppl.training.learner import Learner
from nnft_ppl.training.plan import Plan
from nnft_ppl.training.standardised import readout_sites, sites_of
from nnft_ppl.training.stream import _diverged

KEY = jax.random.key(3)
X = np.linspace(-1.0, 1.0, 6)
Y = np.sin(3 * X)
X_NEW = np.array([-0.7, 0.3, 1.4])
STDS = {"weight_std": 1.3, "bias_std": 0.4}


def build(name="erf-net", width=10, **options):
    return nnft.network(name, width=width, input_dim=1, **STDS, **options)


def train(net, times, method="gradient_flow", **options):
    options = {"num_draws": 10, "key": KEY, "orders": (2,)} | options
    return nnft.train_ensemble(net, X, Y, X_NEW, times=times, method=method, **options)


def first_parameters(net, count):
    """ω of the first networks, float64."""
    stream, _ = stream_at(KEY, 0)
    with jax.enable_x64(False):
        drawn = sites_of(net).draw(stream, jnp.arange(count, dtype=jnp.uint32), CPU)
    return {name: np.asarray(value, np.float64) for name, value in drawn.items()}


def layers(net, activation):
    shapes = {n: v.shape[1:] for n, v in first_parameters(net, 1).items()}
    return Layers(shapes, activation, **STDS)


def flat(parameters, network):
    return np.concatenate([v[network].ravel() for v in parameters.values()])


def test_before_training_networks_are_those_of_the_prior():
    net = build()
    drawn = nnft.sample_ensemble(net, X_NEW, 10, key=KEY).values
    for method in ("gradient_flow", "gradient_descent"):
        np.testing.assert_allclose(
            train(net, [0], method).at(0), drawn, rtol=1e-5, atol=1e-5
        )


CASES = [
    ("erf-net", {}, "erf"),
    ("mlp", {"depth": 1, "activation": "identity"}, "identity"),
    ("mlp", {"depth": 3, "activation": "identity"}, "identity"),
    ("mlp", {"depth": 2, "activation": "erf"}, "erf"),
]


@pytest.mark.slow_but("erf-net", "deep-linear")
@pytest.mark.parametrize(
    ("name", "options", "activation"),
    CASES,
    ids=["erf-net", "linear", "deep-linear", "mlp"],
)
def test_flow_is_that_of_an_independent_integrator(name, options, activation):
    """Within 0.2 % of the residuals before training, which are some 2."""
    net, times = build(name, **options), [0.3, 2.0, 30.0]
    found, start = train(net, times), first_parameters(net, 3)
    hand = layers(net, activation)
    for network in range(3):
        way = hand.flow(flat(start, network), X[:, None], Y[:, None], times)
        expected = [hand.outputs(v, X_NEW[:, None]) for v in way]
        np.testing.assert_allclose(found.values[:, network], expected, atol=4e-3)


@pytest.mark.slow
@pytest.mark.parametrize("width", [5, 100], ids=str)
def test_flow_over_kinks_is_the_limit_of_short_steps(width):
    """As close as smooth flow: within 0.2 % of the residuals before training.

    An integrator of smooth equations stops at a kink that it is drawn to.
    """
    net, times = build("relu-net", width), [0.3, 2.0]
    found, start = train(net, times), first_parameters(net, 5)
    hand = layers(net, "relu")
    for network in range(5):
        way = hand.in_short_steps(
            flat(start, network), X[:, None], Y[:, None], times, step=1e-3
        )
        expected = [hand.outputs(v, X_NEW[:, None]) for v in way]
        np.testing.assert_allclose(found.values[:, network], expected, atol=4e-3)


def test_descent_is_that_of_an_independent_loop():
    """Optax, from the same parameters."""
    net, steps, rate = build(), 200, 0.02
    found, start = train(net, [steps], "gradient_descent", learning_rate=rate), None
    start = {
        n: jnp.asarray(v, jnp.float32) for n, v in first_parameters(net, 10).items()
    }

    def outputs(p, x):
        hidden = jax.scipy.special.erf(
            x @ p["W0"] * STDS["weight_std"] + p["b0"][None] * STDS["bias_std"]
        )
        scale = STDS["weight_std"] / net.width**0.5
        return hidden @ p["W1"] * scale + p["b1"][None] * STDS["bias_std"]

    x, y, new = (jnp.asarray(a[:, None], jnp.float32) for a in (X, Y, X_NEW))
    optimiser = optax.sgd(rate)

    def one(p):
        def step(carry, _):
            p, state = carry
            slope = jax.grad(lambda p: jnp.sum((outputs(p, x) - y) ** 2) / 2)(p)
            change, state = optimiser.update(slope, state)
            return (optax.apply_updates(p, change), state), None

        (p, _), _ = jax.lax.scan(step, (p, optimiser.init(p)), length=steps)
        return outputs(p, new)

    expected = jax.jit(jax.vmap(one))(start)
    np.testing.assert_allclose(found.at(steps), expected, atol=1e-5)


def test_in_the_standard_parametrisation_gradients_are_by_the_weights():
    net, rate, steps = build(width=30), 2e-3, 50
    found = train(
        net, [steps], "gradient_descent", learning_rate=rate, parametrization="standard"
    )
    hand, start = layers(net, "erf"), first_parameters(net, 8)
    std = np.concatenate(
        [np.full(int(np.prod(hand.shapes[n])), hand.std[n]) for n in hand.names]
    )
    for network in range(3):
        vector = flat(start, network)
        for _ in range(steps):
            slope = hand.gradient(vector, X[:, None], Y[:, None])
            vector = vector - rate * slope / std**2
        expected = hand.outputs(vector, X_NEW[:, None])
        np.testing.assert_allclose(found.at(steps)[network], expected, atol=2e-4)


@pytest.mark.parametrize("method", ["gradient_flow", "gradient_descent"])
def test_the_readout_alone_has_a_closed_form(method):
    net, start = build(), first_parameters(build(), 3)
    flows = method == "gradient_flow"
    options = {} if flows else {"learning_rate": 0.05}
    times = [3.0, 400.0] if flows else [1, 150]
    found = train(net, times, method, train="readout", **options)
    hand = layers(net, "erf")
    for network in range(3):
        p = hand.split(flat(start, network))

        def features(x, p=p):
            hidden = hand.phi(x[:, None] @ p["W0"] + p["b0"])
            bias = np.full((len(x), 1), STDS["bias_std"])
            return np.hstack([STDS["weight_std"] / 10**0.5 * hidden, bias])

        first = np.append(start["W1"][network].ravel(), start["b1"][network])
        for row, time in enumerate(times):
            way = {"time": time} if flows else {"rate": 0.05, "steps": time}
            expected = ridge_readout(features(X), Y, features(X_NEW), first, **way)
            np.testing.assert_allclose(
                found.values[row, network, :, 0], expected, atol=3e-3
            )


def test_frequencies_without_a_variance_may_stand_below_a_trained_readout():
    """cos² + sin² = 1: K̂(x, x) is ¼ for every network, so f(t) is in closed form."""

    def waves(params, x):
        angle = params["w"] @ x
        return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)])

    architecture = nnft.architecture_from_function(
        "waves",
        lambda params, x: params["a"] @ waves(params, x),
        lambda hp: {
            "w": dist.Cauchy(0, 1).expand([hp.width, 1]).to_event(2),
            "a": dist.Normal(0, (4 * hp.width) ** -0.5).expand([2 * hp.width]),
        },
        readout=lambda hp: nnft.Readout(
            features=waves, weight_std=0.5**0.5, bias_std=0.0
        ),
    )
    net = nnft.Network.build(architecture, width=4, input_dim=1)
    data = {"num_draws": 50, "key": KEY, "orders": (2,), "times": [0, 1.5]}
    found = nnft.train_ensemble(net, [0.3], [2.0], [0.3], **data, train="readout")
    left = np.exp(-1.5 / 4)
    expected = 2.0 + left * (found.at(0) - 2.0)
    np.testing.assert_allclose(found.at(1.5), expected, rtol=1e-4)
    with pytest.raises(nnft.UnavailableError, match=r"'w' .* train='readout' needs"):
        nnft.train_ensemble(net, [0.3], [2.0], [0.3], **data)


def readout_problem(net, x, x_new):
    """Of each of the first networks: features at data and new inputs, and ω."""
    p, start = layers(net, "erf"), first_parameters(net, 10)
    for network in range(10):
        own = p.split(flat(start, network))
        unit = STDS["weight_std"] / net.width**0.5
        there, new = (
            np.column_stack(
                [
                    unit * p.phi(at[:, None] @ own["W0"] + own["b0"]),
                    np.full(len(at), STDS["bias_std"]),
                ]
            )
            for at in (x, x_new)
        )
        weights = [start[name][network].ravel() for name in ("W1", "b1")]
        yield there, new, np.concatenate(weights)


def test_the_readout_alone_ends_where_float64_does_with_more_data_than_features():
    """After 10⁶, when rounded eigenvalues of Θ would have been learned."""
    net, x, time = build(width=3), np.linspace(-1.0, 1.0, 20), 1e6
    y = np.sin(3 * x) + 0.3 * np.cos(40 * x)
    given = {"key": KEY, "num_draws": 10, "orders": (2,), "train": "readout"}
    found = nnft.train_ensemble(net, x, y, X_NEW, times=[time], **given)
    problems = list(readout_problem(net, x, X_NEW))
    for network, (there, new, start) in enumerate(problems):
        u, s, rows = np.linalg.svd(there, full_matrices=False)
        moved = -np.expm1(-(s**2) * time) / s * (u.T @ (y - there @ start))
        expected = new @ (start + rows.T @ moved)
        np.testing.assert_allclose(found.at(time)[network, :, 0], expected, atol=2e-3)
    cold = 1e-6
    found = nnft.train_ensemble(
        net, x, y, X_NEW, times=[1e9], method="langevin", temperature=cold, **given
    )
    for network, (there, new, _) in enumerate(problems):
        inverse = np.linalg.inv(there.T @ there + cold * np.eye(4))
        off = found.at(1e9)[network, :, 0] - new @ inverse @ there.T @ y
        std = np.sqrt(cold * np.einsum("ni,ij,nj->n", new, inverse, new))
        assert (abs(off) < 4.5 * std + 1e-4).all()


def test_langevin_dynamics_of_the_readout_is_an_ornstein_uhlenbeck_process():
    """Given the hidden layer, at three times: standard normal whatever the network."""
    net, draws, noise, times = build(width=4), 2000, 0.5, [0.1, 0.6, 40.0]
    found = train(
        net,
        times,
        "langevin",
        train="readout",
        temperature=noise**2,
        num_draws=draws,
    )
    p = layers(net, "erf")
    start = first_parameters(net, draws)
    scores = []
    for network in range(draws):
        own = p.split(flat(start, network))

        def features(x, own=own):
            hidden = STDS["weight_std"] / 2 * p.phi(x[:, None] @ own["W0"] + own["b0"])
            return np.hstack([hidden, np.full((len(x), 1), STDS["bias_std"])])

        there, new = features(X), features(X_NEW)
        rates, turn = np.linalg.eigh(there.T @ there + noise**2 * np.eye(5))
        row, pull = (new @ turn)[2], turn.T @ there.T @ Y
        gone = np.exp(-np.outer(times, rates))
        mean = ((1 - gone) / rates * pull) @ row
        kept = gone**2 + noise**2 / rates * (1 - gone**2)  # of ω, from its prior
        later = np.maximum.outer(times, times) - np.minimum.outer(times, times)
        first = np.minimum.outer(range(3), range(3))
        covariance = (np.exp(-later[..., None] * rates) * kept[first]) @ row**2
        gap = found.values[:, network, 2, 0] - mean
        scores.append(np.linalg.solve(np.linalg.cholesky(covariance), gap))
    scores = np.array(scores)
    assert (abs(scores.mean(axis=0)) < 4 * draws**-0.5).all()
    second = scores.T @ scores / draws - np.eye(3)
    assert (abs(second) < 4 * np.where(np.eye(3), 2, 1) ** 0.5 * draws**-0.5).all()


def test_langevin_dynamics_of_wide_readouts_is_predicted_at_every_time():
    net, draws = build(width=3000), 1000
    found = train(
        net,
        [0, 0.05, 0.5, 100],
        "langevin",
        train="readout",
        temperature=0.09,
        num_draws=draws,
    )
    gap = abs(found.mean - found.prediction.mean)
    assert (gap < 4 * found.mean_error + 5e-3).all()
    expected = np.diagonal(found.prediction.covariance, axis1=1, axis2=2)
    ratio = found.variance[..., 0] / expected
    assert (abs(ratio - 1) < 4 * (2 / draws) ** 0.5 + 0.01).all()
    last = train(net, [1.0], "langevin", temperature=0.09).prediction
    np.testing.assert_allclose(found.prediction.mean[3], last.mean[0], atol=1e-3)
    np.testing.assert_allclose(
        found.prediction.covariance[3], last.covariance[0], atol=1e-3
    )


def test_steps_of_the_readout_alone_end_where_the_process_does():
    """The general dynamics, in short steps from the same networks: same mean, width."""
    net, draws, noise = build(width=4), 1500, 0.5
    exact = train(
        net, [1.5], "langevin", train="readout", temperature=0.25, num_draws=draws
    )
    sites, there = sites_of(net), jnp.asarray(X[:, None], jnp.float32)
    new = jnp.asarray(X_NEW[:, None], jnp.float32)

    def one(values, key):
        learner = Learner(
            sites, sites.rates("ntk", "readout"), there, jnp.asarray(Y, jnp.float32)
        )
        state = langevin.begin(learner, values, key)
        state = langevin.wander(learner, state, 150, 0.01, noise**2, key)
        return sites.outputs(state.values, new)

    with jax.enable_x64(False):
        start = {
            n: jnp.asarray(v, jnp.float32)
            for n, v in first_parameters(net, draws).items()
        }
        keys = jax.random.split(jax.random.key(5), draws)
        short = np.asarray(jax.jit(jax.vmap(one))(start, keys))
    error = np.hypot(exact.mean_error[0, :, 0], short.std(axis=0) * draws**-0.5)
    assert (abs(short.mean(axis=0) - exact.mean[0, :, 0]) < 4 * error).all()
    ratio = short.var(axis=0) / exact.variance[0, :, 0]
    assert (abs(ratio - 1) < 4.5 * 2 * draws**-0.5).all()


def test_wide_networks_follow_the_tangent_kernel():
    """Width 10⁴: within four standard errors and 1 % of the targets."""
    net = build(width=10_000)
    found = train(net, [0.5, 5.0, 50.0], num_draws=64)
    gap = abs(found.mean - found.prediction.mean)
    assert (gap < 4 * found.mean_error + 0.01).all()
    expected = np.diagonal(found.prediction.covariance, axis1=1, axis2=2)
    ratio = found.variance[..., 0] / expected
    assert (abs(ratio - 1) < 4.5 * (2 / 63) ** 0.5 + 0.05).all()


@pytest.mark.slow
def test_the_distance_from_the_tangent_kernel_falls_as_one_over_the_width():
    """Mean and variance, halved with the width, within errors."""
    gaps, errors = [], []
    for width in (25, 100):
        found = train(build(width=width), [300], "gradient_descent", num_draws=8000)
        expected = np.diagonal(found.prediction.covariance, axis1=1, axis2=2)
        gaps.append((found.variance[..., 0] / expected - 1).mean())
        errors.append((2 / 8000) ** 0.5)
    ratio = gaps[0] / gaps[1]
    assert gaps[1] > 3 * errors[1]
    assert abs(ratio - 4) < 1.0 + 4 * ratio * errors[1] / gaps[1]


@pytest.mark.slow_but("5")
@pytest.mark.parametrize("width", [5, 20], ids=str)
def test_langevin_dynamics_ends_in_the_posterior(width):
    x, y = np.array([-1.2, -0.3, 0.4, 1.1]), np.array([0.4, -0.5, 0.2, 0.9])
    net, draws = build(width=width), 3000
    post = nnft.posterior(
        net, x, y, X_NEW, noise_std=0.4, num_draws=60_000, key=KEY, num_samples=25
    )
    found = nnft.train_ensemble(
        net,
        x,
        y,
        X_NEW,
        times=[40.0],
        num_draws=draws,
        key=KEY,
        method="langevin",
        temperature=0.16,
        learning_rate=0.1,
        orders=(2,),
    )
    error = np.hypot(found.mean_error[0, :, 0], post.mean_error)
    assert (abs(found.mean[0, :, 0] - post.mean) < 3 * error).all()
    ratio = found.variance[0, :, 0] / post.variance
    assert (abs(ratio - 1) < 4.5 * (2 / draws) ** 0.5).all()


def test_without_data_to_speak_of_langevin_dynamics_keeps_the_prior():
    net = build(width=5)
    found = train(
        net,
        [4e-4],  # four relaxation times 1/T
        "langevin",
        temperature=1e4,
        num_draws=3000,
        learning_rate=5e-6,
    )
    first = nnft.sample_ensemble(net, X_NEW, 3000, key=KEY).values
    assert abs(np.corrcoef(found.at(4e-4)[:, 0, 0], first[:, 0, 0])[0, 1]) < 0.08
    kernel = np.diag(net.kernel(X_NEW))
    assert (abs(found.variance[0, :, 0] / kernel - 1) < 0.15).all()


def test_correlators_are_those_of_the_draws():
    """Before training they are exact cumulants; after, the covariance of the draws."""
    net = build(width=6)
    found = train(net, [0, 40], "gradient_descent", num_draws=3000, orders=(2, 4))
    exact = nnft.exact_correlators(net, X_NEW, (2, 4))
    for order in (2, 4):
        gap = found[0].connected(order) - exact.connected(order)
        assert (abs(gap) < 4.5 * found[0].connected_error(order)).all()
    after = found[40]
    covariance = np.cov(found.at(40)[..., 0].T)
    rows, columns = after.entries(2).T
    np.testing.assert_allclose(after.connected(2), covariance[rows, columns], rtol=1e-3)
    np.testing.assert_allclose(after.connected(1), found.mean[1, :, 0], rtol=1e-6)
    assert after.orders == (1, 2, 3, 4)
    assert not after.network.has_kernel
    assert list(found) == [0, 40]


def test_networks_do_not_depend_on_how_many_there_are():
    net = build()
    few, many = (train(net, [1.0], num_draws=n).at(1.0) for n in (10, 300))
    np.testing.assert_array_equal(few, many[:10])


def test_draws_in_a_file_give_the_same_correlators_to_the_bit(tmp_path):
    file, times = tmp_path / "draws.npy", [0, 20]
    options = {"num_draws": 300, "orders": (2, 4)}
    kept = train(build(), times, "gradient_descent", **options)
    found = train(build(), times, "gradient_descent", draws=file, **options)
    assert isinstance(found.values, np.memmap)
    np.testing.assert_array_equal(found.values, kept.values)
    np.testing.assert_array_equal(found.losses, kept.losses)
    np.testing.assert_array_equal(found.mean, kept.mean)
    on_disk = np.load(file, mmap_mode="r")
    assert on_disk.shape == (300, 2, 3, 1)
    for row, time in enumerate(times):
        again = nnft.correlators_from_draws(on_disk[:, row], X_NEW)
        for order in (1, 2, 3, 4):
            expected = found[time].connected(order)
            np.testing.assert_array_equal(again.connected(order), expected)
            np.testing.assert_array_equal(kept[time].connected(order), expected)
        np.testing.assert_array_equal(
            again.joint_covariance, found[time].joint_covariance
        )


@pytest.mark.parametrize("in_file", [False, True], ids=["memory", "file"])
def test_interrupted_training_goes_on_to_the_same_bits(tmp_path, in_file):
    def run(folder, num_draws=3000, **options):
        folder.mkdir(exist_ok=True)
        if in_file:
            options["draws"] = folder / "draws.npy"
        return train(build(), [5], "gradient_descent", num_draws=num_draws, **options)

    def interrupt(progress):
        seen.append(progress.num_draws)
        if len(seen) == 3:
            raise KeyboardInterrupt

    seen, place = [], tmp_path / "there" / "state"
    whole = run(tmp_path / "whole")
    with pytest.raises(nnft.SamplingInterrupted, match="the same call goes on from"):
        run(place.parent, checkpoint=place, progress=interrupt)
    seen = [0] * 3
    found = run(place.parent, checkpoint=place, progress=interrupt)
    assert 0 < seen[3] < 3000
    np.testing.assert_array_equal(found.values, whole.values)
    np.testing.assert_array_equal(found.losses, whole.losses)
    more = run(place.parent, num_draws=3333, checkpoint=place)
    np.testing.assert_array_equal(more.values[:, :3000], whole.values)
    assert more.num_draws == 3333
    with pytest.raises(nnft.SpecError, match="holds 3333 networks already"):
        run(place.parent, checkpoint=place)
    with pytest.raises(nnft.SpecError, match=r"its plan.learning_rate is"):
        run(place.parent, 3333, checkpoint=place, learning_rate=1e-3)


def test_draws_that_are_not_those_of_the_checkpoint_are_refused(tmp_path):
    file, options = tmp_path / "draws.npy", {"checkpoint": tmp_path / "state"}
    train(build(), [1.0], draws=file, **options)
    whole = file.read_bytes()
    file.write_bytes(whole[:-4] + b"1234")
    with pytest.raises(nnft.SpecError, match="does not hold the draws"):
        train(build(), [1.0], draws=file, num_draws=20, **options)
    assert file.read_bytes()[:-4] == whole[:-4]
    file.unlink()
    with pytest.raises(nnft.SpecError, match="draws of the checkpoint are not in"):
        train(build(), [1.0], draws=file, num_draws=20, **options)


def test_training_stops_at_the_target_error():
    net, told = build(width=3), []
    options = {"orders": (2, 4), "num_draws": 40_000, "target_error": 0.3}
    found = train(net, [0, 3], "gradient_descent", progress=told.append, **options)
    assert 100 < found.num_draws < 40_000
    assert told[-1].relative_error <= 0.3 < told[0].relative_error
    again = train(net, [0, 3], "gradient_descent", **{**options, "target_error": 0.9})
    assert again.num_draws < found.num_draws
    np.testing.assert_array_equal(again.values, found.values[:, : again.num_draws])
    own = train(
        net,
        [0, 3],
        "gradient_descent",
        **{**options, "error_of": lambda c: c.num_draws**-0.5, "target_error": 0.02},
    )
    assert 2500 <= own.num_draws < 40_000


def test_it_is_saved(tmp_path):
    found = train(build(), [0, 7], "gradient_descent", num_draws=40)
    found.save(tmp_path / "trained.nc")
    again = nnft.load(tmp_path / "trained.nc")
    assert isinstance(again, nnft.TrainedEnsemble)
    np.testing.assert_array_equal(again.values, found.values)
    np.testing.assert_array_equal(again[7].covariance(2), found[7].covariance(2))
    np.testing.assert_array_equal(again.prediction.mean, found.prediction.mean)
    assert repr(again) == repr(found)
    assert again.plan == found.plan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": [1.0, 1.0]}, "each larger than the one before"),
        ({"times": [-1.0]}, "≥ 0"),
        ({"times": []}, "each larger"),
        ({"times": [0.5], "method": "gradient_descent"}, "whole numbers of steps"),
        ({"learning_rate": 0.1}, "gradient flow chooses its own"),
        (
            {"learning_rate": 9.0, "method": "gradient_descent", "times": [1]},
            r"the largest stable one is 2/λ = 0\.",
        ),
        ({"method": "langevin"}, "`temperature` is None"),
        ({"temperature": 1.0}, "`temperature` is 1.0, which gradient_flow has not"),
        (
            {"method": "langevin", "temperature": 1.0, "parametrization": "standard"},
            "moves parameters in the parametrisation 'ntk'",
        ),
        (
            {
                "method": "langevin",
                "temperature": 1.0,
                "train": "readout",
                "learning_rate": 0.1,
            },
            "of the readout alone takes no steps",
        ),
        (
            {
                "method": "langevin",
                "temperature": 1.0,
                "learning_rate": 1e-4,
                "times": [1.0, 1e6],
            },
            r"1e\+10 steps of 0.0001; expected at most 2,147,483,647",
        ),
        ({"target_error": 0.1}, "`target_error` is of G4c"),
        ({"error_of": len}, "without a `target_error`"),
        ({"draws": "draws.nc"}, "expected the path of a .npy file"),
        ({"draws": "nowhere/draws.npy"}, "is a folder, or in none"),
        ({"checkpoint": "nowhere/state"}, "is no folder"),
        ({"y": [np.nan] * 6}, "expected finite numbers"),
        ({"y": Y[:3]}, "`y` has shape"),
        ({"x_new": [0.1, 0.1]}, "more than once"),
        ({"num_draws": 3}, "from 10 to"),
        ({"method": "adam"}, "choose one of"),
        ({"train": "last"}, "choose one of"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    given = {"y": Y, "x_new": X_NEW, "times": [1.0], "num_draws": 10, "orders": (2,)}
    given |= changes
    y, x_new = given.pop("y"), given.pop("x_new")
    with pytest.raises(nnft.SpecError, match=message):
        nnft.train_ensemble(build(), X, y, x_new, key=KEY, **given)


def test_the_largest_stable_rate_is_two_over_the_largest_eigenvalue():
    net = build(width=2000)
    largest = 2 / np.linalg.eigvalsh(net.tangent_kernel(X))[-1]
    with pytest.raises(nnft.SpecError, match=f"2/λ = {largest:.4g}"):
        train(net, [1], "gradient_descent", learning_rate=1.01 * largest)
    calm = train(net, [300], "gradient_descent", learning_rate=0.9 * largest)
    assert (calm.losses < 2).all()


def test_a_high_temperature_wants_short_steps_too():
    """Of a linear network the law at the end is the posterior's: nearly the prior's."""
    net, warm = build("mlp", width=30, depth=1, activation="identity"), 400.0
    given = {"method": "langevin", "temperature": warm}
    found = train(net, [0.02], num_draws=2000, **given)  # 8 relaxation times 1/T
    expected = np.diag(found.prediction.covariance[0])
    assert (abs(found.variance[0, :, 0] / expected - 1) < 0.2).all()
    largest = np.linalg.eigvalsh(net.tangent_kernel(X))[-1]
    assert found.plan.learning_rate < 0.5 / (largest + warm)
    with pytest.raises(nnft.SpecError, match=r"2/\(λ \+ T\) = 0.00"):
        train(net, [0.02], learning_rate=1.0 / largest, **given)


def test_the_limit_of_langevin_dynamics_is_gaussian_process_regression():
    net, noise = build(), 0.3
    found = train(net, [0.1], method="langevin", temperature=noise**2).prediction
    kernel = net.kernel(np.concatenate([X, X_NEW]))
    data, new = slice(len(X)), slice(len(X), None)
    gain = kernel[new, data] @ np.linalg.inv(kernel[data, data] + noise**2 * np.eye(6))
    np.testing.assert_allclose(found.mean[0, :, 0], gain @ Y, rtol=1e-9)
    covariance = kernel[new, new] - gain @ kernel[data, new]
    np.testing.assert_allclose(found.covariance[0], covariance, rtol=1e-9)


@pytest.mark.parametrize("width", [1, 5])
@pytest.mark.parametrize(
    ("name", "dim", "options", "sites"),
    [
        ("mlp", 1, {"depth": 2, "activation": "relu"}, ("W2", "b2")),
        ("conv-net", (4, 4, 1), {}, ("W2", "b2")),
        ("residual-mlp", 2, {}, ("W3", "b3")),
    ],
)
def test_a_readout_is_told_from_layers_whose_units_are_all_off(
    name, dim, options, sites, width
):
    net = nnft.network(name, width=width, input_dim=dim, bias_std=0.3, **options)
    assert readout_sites(net) == sites


@pytest.mark.parametrize(
    ("method", "train", "remedy"),
    [
        ("gradient_flow", "all", "take more than 20,000 steps from one time to"),
        ("gradient_flow", "readout", ": use smaller inputs"),
        ("langevin", "all", "use a `learning_rate` below 0.1, or smaller inputs"),
        ("langevin", "readout", ": use smaller inputs"),
    ],
)
def test_networks_without_numbers_are_told_what_helps(method, train, remedy):
    rate = 0.1 if (method, train) == ("langevin", "all") else 0.0
    job = SimpleNamespace(
        network=build(),
        plan=Plan(method, train, "ntk", (1.0, 2.0), learning_rate=rate),
    )
    draws = np.zeros((3, 2, 1))
    draws[1, 1] = np.nan
    text = stream._diverged(job, np.array([False, True, False]), draws, 10)
    assert "1 of the networks 10 to 12" in text
    assert "by time 2.0, the first of them network 11" in text
    assert remedy in text


def test_networks_that_are_not_what_a_method_needs_are_refused():
    with pytest.raises(nnft.UnavailableError, match=r"the sites \['W1', 'W2'\]"):
        train(build("mlp", weight_law="uniform"), [1.0], "langevin", temperature=1.0)
    with pytest.raises(nnft.UnavailableError, match="limit of infinite width is not"):
        _ = train(build("cos-net"), [0.1]).prediction


@pytest.mark.parametrize(
    ("method", "trained", "remedy"),
    [
        ("gradient_flow", "all", "or take more than 20,000 steps from one time"),
        ("gradient_flow", "readout", ": use smaller inputs"),
        ("gradient_descent", "all", "use a `learning_rate` below 0.1, or"),
    ],
)
def test_a_network_without_numbers_is_told_with_what_may_be_the_matter(
    method, trained, remedy
):
    plan, part = Plan(method, trained, "ntk", (1.0, 2.0), 0.1), np.ones((3, 2, 2))
    part[2, 1] = np.nan
    job = SimpleNamespace(plan=plan, network=build())
    said = _diverged(job, np.array([False, False, True]), part, 10)
    assert "1 of the networks 10 to 12 give NaN or infinity by time 2.0" in said
    assert remedy in said


def test_networks_that_diverge_are_told():
    net = build("relu-net", width=2)
    with pytest.raises(nnft.SpecError, match=r"use a `learning_rate` below"):
        train(net, [400], "gradient_descent", learning_rate=0.35, num_draws=400)

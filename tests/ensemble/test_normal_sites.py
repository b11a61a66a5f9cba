"""Normal sites of priors: which are found, what they are given, who else takes keys.

Laws are compared at 5 standard errors, or p-values above 10⁻⁵, on fixed keys.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.contrib.control_flow import scan
from numpyro.infer.reparam import LocScaleReparam
from scipy import stats

import nnft_ppl as nnft
from nnft_ppl.correlators.sampled.estimators import PLAIN, Inputs
from nnft_ppl.correlators.sampled.job import Job
from nnft_ppl.ensemble.blocks import device_mesh, stack_streams
from nnft_ppl.ensemble.device_sizes import CPU
from nnft_ppl.ensemble.generator import normal_pairs, stream_words
from nnft_ppl.ensemble.generator_names import ROUNDS
from nnft_ppl.ensemble.model import over_networks, stream_at
from nnft_ppl.ensemble.normal_sites import (
    plugin_prior,
    site_normals,
    trace_normal_sites,
)
from nnft_ppl.ensemble.sample import _values

KEY = jax.random.key(8)
LEAST = 1e-5


@pytest.fixture(autouse=True)
def numpyro_promotes_ranks():
    """NumPyro's own sampling does, where it expands or takes a sample shape."""
    with jax.numpy_rank_promotion("allow"):
        yield


def net_of(prior, name="sites"):
    """A network of which the prior alone is of interest."""
    architecture = nnft.Architecture(
        name=name,
        description="",
        prior=lambda hp: prior(),
        apply=lambda hp, params, x: x,
        symmetries=frozenset({"sign"}),
    )
    return nnft.Network.build(architecture, width=1, input_dim=1)


def draw(prior, count=4000, start=0, generator="fused13", key=KEY):
    """Site -> (network, ...) of networks start … start+count−1."""
    net = net_of(prior)

    @partial(jax.jit, static_argnames="shape")
    def flat(stream, first, shape):
        def joined(params):
            return jnp.concatenate(
                [jnp.ravel(leaf) for leaf in jax.tree.leaves(params)]
            )

        return over_networks(net, joined, stream, first, count, generator, CPU)

    stream, low = stream_at(key, start)
    params = jax.eval_shape(lambda k: handlers.seed(prior, k)(), jax.random.key(0))
    leaves, tree = jax.tree.flatten(params)
    ends = np.cumsum([leaf.size for leaf in leaves])
    values = np.asarray(flat(stream, low, count))
    assert values.shape == (ends[-1], count)
    parts = [
        part.T.reshape(count, *leaf.shape)
        for part, leaf in zip(np.split(values, ends[:-1]), leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, parts)


def assert_normal(values, loc=0.0, scale=1.0):
    """Each entry has this mean and deviation, and all together are normal."""
    standard = (values - loc) / scale
    number = len(values)
    assert (np.abs(standard.mean(axis=0)) < 5 / number**0.5).all()
    assert (np.abs((standard**2).mean(axis=0) - 1) < 5 * (2 / number) ** 0.5).all()
    assert stats.kstest(standard.ravel(), "norm").pvalue > LEAST


def names_in(prior):
    return [site.name for site in trace_normal_sites(net_of(prior))]


# Sites that are filled.

LOC = jnp.array([[-1.0], [0.0], [4.0]])
SCALE = jnp.array([0.5, 2.0, 1.0, 3.0])


def in_plates():
    with numpyro.plate("rows", 3, dim=-2), numpyro.plate("columns", 5, dim=-1):
        return numpyro.sample("a", dist.Normal(2.0, 3.0))


def in_a_plate_of_events():
    with numpyro.plate("rows", 3):
        return numpyro.sample("a", dist.Normal(jnp.zeros(5), 2.0).to_event(1))


def scaled_likelihood():
    with handlers.scale(scale=0.1):
        return numpyro.sample("a", dist.Normal(0.0, 2.0))


def scoped():
    with handlers.scope(prefix="layer", divider="."):
        return numpyro.sample("a", dist.Normal(0.0, 2.0))


FILLED = {
    "scalar": (lambda: numpyro.sample("a", dist.Normal(3.0, 0.1)), 3.0, 0.1, ()),
    "arrays": (
        lambda: numpyro.sample("a", dist.Normal(LOC, SCALE[None])),
        LOC, SCALE, (3, 4),
    ),
    "expanded": (
        lambda: numpyro.sample("a", dist.Normal(1.0, 2.0).expand((7, 3))),
        1.0, 2.0, (7, 3),
    ),
    "expanded between": (
        lambda: numpyro.sample("a", dist.Normal(LOC, 2.0).expand((2, 3, 4))),
        LOC, 2.0, (2, 3, 4),
    ),
    "event": (
        lambda: numpyro.sample("a", dist.Normal(LOC, SCALE[None]).to_event(2)),
        LOC, SCALE, (3, 4),
    ),
    "expanded event": (
        lambda: numpyro.sample("a", dist.Normal(0.0, SCALE).to_event(1).expand((3,))),
        0.0, SCALE, (3, 4),
    ),
    "event of events": (
        lambda: numpyro.sample(
            "a", dist.Normal(0.0, SCALE).expand((3, 4)).to_event(1).to_event(1)
        ),
        0.0, SCALE, (3, 4),
    ),
    "sample shape": (
        lambda: numpyro.sample("a", dist.Normal(0.0, SCALE), sample_shape=(5,)),
        0.0, SCALE, (5, 4),
    ),
    "plates": (in_plates, 2.0, 3.0, (3, 5)),
    "events in a plate": (in_a_plate_of_events, 0.0, 2.0, (3, 5)),
    "scaled": (scaled_likelihood, 0.0, 2.0, ()),
    "one number in an array": (
        lambda: numpyro.sample("a", dist.Normal(0.0, 2.0).expand((1,))), 0.0, 2.0, (1,),
    ),
}  # fmt: skip


@pytest.mark.slow_but(
    "event", "event of events", "one number in an array", "scalar", "scaled"
)
@pytest.mark.parametrize("case", FILLED)
def test_normal_sites_are_found_and_have_their_law(case):
    prior, loc, scale, shape = FILLED[case]
    (site,) = trace_normal_sites(net_of(prior))
    assert (site.name, site.shape, site.first_element) == ("a", shape, 0)
    values, plain = draw(prior), draw(prior, generator="jax")
    assert values.shape == plain.shape == (4000, *shape)
    assert values.dtype == plain.dtype == np.float32
    assert (values != plain).all()
    assert_normal(values, np.asarray(loc), np.asarray(scale))


@pytest.mark.parametrize("generator", ROUNDS)
@pytest.mark.parametrize("case", FILLED)
def test_values_are_loc_and_scale_of_the_generators_numbers(case, generator):
    """In the order of an array: first the first numbers of pairs, then the second."""
    prior, loc, scale, shape = FILLED[case]
    size = int(np.prod(shape))
    pairs = -(-size // 2)
    networks, elements = (np.arange(n, dtype=np.uint32) for n in (6, pairs))
    stream = stream_words(KEY, 0)
    pairs_of = jax.jit(partial(normal_pairs, rounds=ROUNDS[generator]))
    first, second = pairs_of(stream, networks[:, None], elements[None])
    flat = np.concatenate([first, second], axis=1)[:, :size]
    expected = np.asarray(loc) + np.asarray(scale) * flat.reshape(6, *shape)
    values = draw(prior, 6, generator=generator)
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-6)


def test_a_scope_renames_but_is_filled():
    assert names_in(scoped) == ["layer.a"]
    assert_normal(draw(scoped), 0.0, 2.0)


# Sites that are not.


def observed():
    numpyro.sample("seen", dist.Normal(0.0, 1.0), obs=jnp.float32(2.0))
    return numpyro.sample("a", dist.LogNormal(0.0, 1.0))


def masked():
    with handlers.mask(mask=jnp.array(True)):
        return numpyro.sample("a", dist.Normal(0.0, 1.0))


def transformed():
    twice = dist.transforms.AffineTransform(0.0, 2.0)
    return numpyro.sample(
        "a", dist.TransformedDistribution(dist.Normal(0.0, 1.0), twice)
    )


OTHERS = {
    "observed": observed,
    "masked": masked,
    "transformed": transformed,
    "student": lambda: numpyro.sample("a", dist.StudentT(5.0)),
    "truncated": lambda: numpyro.sample("a", dist.TruncatedNormal(0.0, 1.0, low=0.0)),
    "half normal": lambda: numpyro.sample("a", dist.HalfNormal(1.0)),
    "multivariate": lambda: numpyro.sample(
        "a", dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2))
    ),
    "mixture": lambda: numpyro.sample(
        "a",
        dist.MixtureSameFamily(
            dist.Categorical(jnp.ones(2) / 2), dist.Normal(jnp.zeros(2), 1.0)
        ),
    ),
}


@pytest.mark.slow_but("half normal", "masked", "transformed")
@pytest.mark.parametrize("case", OTHERS)
def test_other_sites_are_left_to_numpyro(case):
    """The same numbers as with `jax`: nothing else takes a key, either."""
    assert names_in(OTHERS[case]) == []
    one, other = (draw(OTHERS[case], 50, generator=g) for g in ("fused13", "jax"))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def frozen_by_value():
    with handlers.substitute(data={"a": jnp.float32(1.5)}):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    return a, numpyro.sample("b", dist.Normal(0.0, 1.0))


def frozen_by_key():
    with handlers.seed(rng_seed=3):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    return a, numpyro.sample("b", dist.Normal(0.0, 1.0))


def conditioned():
    with handlers.condition(data={"a": jnp.float32(1.5)}):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    return a, numpyro.sample("b", dist.Normal(0.0, 1.0))


@pytest.mark.parametrize("prior", [frozen_by_value, frozen_by_key, conditioned])
def test_what_a_handler_inside_the_prior_gives_stays(prior):
    """A random feature that all networks share is no random number of each."""
    (fixed, drawn), (plain, _) = (draw(prior, generator=g) for g in ("fused13", "jax"))
    assert (fixed == fixed[0]).all()
    assert (fixed == plain).all()
    assert_normal(drawn)


def test_sites_inside_a_scan_take_the_ordinary_way():
    def prior():
        def step(carry, _):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0))
            return carry + z, z

        return scan(step, 0.0, None, length=3)[1]

    assert names_in(prior) == []
    np.testing.assert_allclose(
        draw(prior, 50), draw(prior, 50, generator="jax"), rtol=1e-6
    )


def test_reparametrised_sites_are_filled_beneath():
    def prior():
        with handlers.reparam(config={"a": LocScaleReparam(0.0)}):
            return numpyro.sample("a", dist.Normal(2.0, 3.0).expand((4,)).to_event(1))

    assert names_in(prior) == ["a_decentered"]
    assert_normal(draw(prior), 2.0, 3.0)


# Several sites.


def hierarchical():
    spread = numpyro.sample("spread", dist.Gamma(3.0, 2.0))
    centre = numpyro.sample("centre", dist.Normal(2.0, 0.5))
    return {
        "spread": spread,
        "centre": centre,
        "leaf": numpyro.sample(
            "leaf", dist.Normal(centre, spread).expand((3,)).to_event()
        ),
    }


def test_scales_that_depend_on_other_sites():
    assert names_in(hierarchical) == ["centre", "leaf"]
    drawn = draw(hierarchical)
    assert stats.kstest(drawn["spread"], stats.gamma(3.0, scale=0.5).cdf).pvalue > LEAST
    assert_normal(drawn["centre"], 2.0, 0.5)
    noise = (drawn["leaf"] - drawn["centre"][:, None]) / drawn["spread"][:, None]
    assert_normal(noise)
    for other in ("centre", "spread"):
        for entry in noise.T:
            assert stats.pearsonr(entry, drawn[other]).pvalue > LEAST
            assert stats.pearsonr(entry**2, drawn[other]).pvalue > LEAST


def uniforms_among_normals():
    return {
        "u0": numpyro.sample("u0", dist.Uniform(0.0, 1.0).expand((2,))),
        "w": numpyro.sample("w", dist.Normal(0.0, 1.0).expand((5,))),
        "u1": numpyro.sample("u1", dist.Uniform(0.0, 1.0).expand((3,))),
        "b": numpyro.sample("b", dist.Normal(0.0, 1.0)),
        "u2": numpyro.sample("u2", dist.Uniform(0.0, 1.0)),
    }


def uniforms_alone():
    return {
        "u0": numpyro.sample("u0", dist.Uniform(0.0, 1.0).expand((2,))),
        "u1": numpyro.sample("u1", dist.Uniform(0.0, 1.0).expand((3,))),
        "u2": numpyro.sample("u2", dist.Uniform(0.0, 1.0)),
    }


def test_normal_sites_take_no_key_of_the_others():
    """Keys go to sites as they come: with `jax` normal sites take theirs in between."""
    fused = draw(uniforms_among_normals, 50)
    plain = draw(uniforms_among_normals, 50, generator="jax")
    alone = draw(uniforms_alone, 50, generator="jax")
    for name in ("u0", "u1", "u2"):
        assert (fused[name] == alone[name]).all()
    assert (fused["u0"] == plain["u0"]).all()
    for name in ("u1", "u2"):
        assert (fused[name] != plain[name]).all()


def test_sites_share_no_number():
    sizes = (1, 5, 8, 3, 2, 1)

    def prior():
        return [
            numpyro.sample(f"s{i}", dist.Normal(0.0, 1.0).expand((size,)))
            for i, size in enumerate(sizes)
        ]

    sites = trace_normal_sites(net_of(prior))
    used = [site.first_element + np.arange(site.num_pairs) for site in sites]
    assert np.concatenate(used).tolist() == list(range(12))  # 1 + 3 + 4 + 2 + 1 + 1
    values = np.concatenate(draw(prior, 20_000), axis=1, dtype=np.float64)
    assert values.shape == (20_000, 20)
    for function in (lambda v: v, lambda v: v**2, np.abs):
        z = np.corrcoef(function(values).T) * 20_000**0.5
        assert np.abs(z[np.triu_indices(20, 1)]).max() < 5


def test_each_shipped_site_is_a_site_of_its_own():
    net = nnft.network("mlp", width=3, depth=2, input_dim=3, output_dim=2, bias_std=1.0)
    sites = trace_normal_sites(net)
    assert {s.name: s.shape for s in sites} == {
        "W0": (3, 3), "b0": (3,), "W1": (3, 3), "b1": (3,), "W2": (3, 2), "b2": (2,)
    }  # fmt: skip
    assert [s.first_element for s in sites] == [0, 5, 7, 12, 14, 17]


@pytest.mark.parametrize("generator", ["fused13", "jax"])
def test_biases_of_no_spread_leave_the_numbers_of_the_weights(generator):
    def networks(bias_std):
        net = nnft.network("relu-net", width=3, input_dim=1, bias_std=bias_std)
        return draw(plugin_prior(net), 5, generator=generator)

    without, some = networks(0.0), networks(1.0)
    assert not without["b0"].any()
    assert some["b0"].all()
    for name in ("W0", "W1"):
        assert (without[name] == some[name]).all()


# Networks, chunks and streams.


@pytest.mark.slow_but("fused13")
@pytest.mark.parametrize("generator", ["fused13", "jax"])
def test_a_network_depends_on_key_and_number_alone(generator):
    run = partial(draw, uniforms_among_normals, generator=generator)
    whole = run(count=300)
    for count, start in [(1, 299), (17, 100)]:
        part = run(count=count, start=start)
        for name, values in part.items():
            assert (values == whole[name][start : start + count]).all()


@pytest.mark.slow
@pytest.mark.parametrize("generator", ["fused13", "jax"])
def test_networks_beyond_32_bits_are_others(generator):
    run = partial(draw, uniforms_among_normals, count=64, generator=generator)
    starts = (0, 2**32, 2**33, 2**52, 2**32 + 5)
    drawn = [run(start=start) for start in starts]
    for name in drawn[0]:
        for i, one in enumerate(drawn[:4]):
            for other in drawn[:i]:
                assert (one[name] != other[name]).all()
        assert (drawn[4][name][:59] == drawn[1][name][5:]).all()
        assert (drawn[4][name] != drawn[0][name]).all()
    # Before the end of the first stream and after.
    last = run(start=2**32 - 64)
    assert not any((last[n] == other[n]).any() for n in last for other in drawn)
    assert_normal(run(count=4000, start=2**32 + 5)["w"])


def test_numbers_of_streams_are_those_of_the_generator():
    site = trace_normal_sites(net_of(uniforms_among_normals))[0]
    stream, low = stream_at(KEY, 2**33 + 7)
    assert low == 7
    assert stream.words == stream_words(KEY, 2)
    networks = np.arange(4, dtype=np.uint32)[:, None]
    elements = np.arange(3, dtype=np.uint32)[None]
    pairs_of = jax.jit(partial(normal_pairs, rounds=13))
    pairs = pairs_of(stream_words(KEY, 2), networks + low, elements)
    numbers = jnp.uint32(low) + networks[:, 0]
    drawn = site_normals(stream.words, numbers, site, CPU, rounds=13)
    expected = np.concatenate(pairs, axis=1)[:, :5]
    np.testing.assert_allclose(drawn, expected, atol=1e-5)  # one of them not compiled


@pytest.mark.slow_but("fused13")
@pytest.mark.parametrize("generator", ["fused13", "jax"])
def test_streams_side_by_side_are_streams_one_by_one(generator):
    """What `sample_ensemble` dispatches, at numbers that no test could reach."""
    net = nnft.network("erf-net", width=4, input_dim=1, bias_std=1.0)
    x = np.array([[0.3], [-0.8]], np.float32)
    mesh = device_mesh(jax.devices()[:1])

    def outputs(start, chunks=1):
        streams, lows = stack_streams(KEY, [start])
        part = np.asarray(
            _values(
                streams, lows, np.array([chunks], np.uint32), x, mesh, net, generator,
                CPU, 512, 2,
            )
        )  # fmt: skip
        return np.concatenate(part[0, :, :, 0], axis=1)  # (point, network)

    starts = (0, 2**32 - 512, 2**32, 2**52)
    drawn = [outputs(start)[:, :512] for start in starts]
    assert len(np.unique(np.concatenate(drawn, axis=1)[0])) > 2040
    assert (outputs(2**32, 2)[:, 512:] == outputs(2**32 + 512)[:, :512]).all()
    assert (outputs(2**32)[:, 512:] == 0).all()
    whole = nnft.sample_ensemble(net, x, 512, key=KEY, generator=generator)
    assert (drawn[0] == whole.values[..., 0].T).all()
    streams, lows = stack_streams(KEY, starts)
    assert lows.tolist() == [0, 2**32 - 512, 0, 0]
    for i, start in enumerate(starts):
        stream, _ = stream_at(KEY, start)
        assert (streams.words[0][i], streams.words[1][i]) == stream.words
        assert (streams.key[i] == jax.random.key_data(stream.key)).all()


@pytest.mark.parametrize("generator", ["fused13", "jax"])
def test_sums_of_blocks_beyond_32_bits(generator):
    """A block of a measurement of more than 2³² networks."""
    net = nnft.network("erf-net", width=2, input_dim=1, bias_std=1.0)
    x = np.array([[0.4]])
    inputs = Inputs(
        x.astype(np.float32), np.ones(1, np.float32), np.zeros(1, np.float32),
        np.ones((1, 1 if generator == "fused13" else 0), np.float32),
    )  # fmt: skip
    job = Job.plan(net, inputs, (2, 4), PLAIN, generator, key=KEY, num_draws=2**34)
    devices = tuple(jax.devices()[:1])
    sums = [job.sums([start], devices)[0].values for start in (0, 2**32, 2**33)]
    assert len({float(s[0]) for s in sums}) == 3
    means = np.array(sums) / job.block
    spread = 5 * np.array([3.0, 100.0]) / job.block**0.5
    assert (np.abs(means[1:] - means[0]) < spread).all()


# Any default of the host.


@pytest.mark.parametrize("generator", ["fused13", "jax"])
def test_draws_do_not_depend_on_the_hosts_default_generator(generator):
    net = nnft.network("erf-net", width=4, input_dim=1)
    run = partial(
        nnft.sample_ensemble, net, [0.3, 0.5], 3, key=KEY, generator=generator
    )
    plain = run().values
    jax.config.update("jax_default_prng_impl", "rbg")
    try:
        other = run().values
    finally:
        jax.config.update("jax_default_prng_impl", "threefry2x32")
    assert (plain == other).all()


# Every shipped architecture.

SHIPPED = {
    "attention": {"input_dim": (2, 2), "width": 3},
    "conv-net": {"input_dim": (5, 1), "width": 4},
    "correlated-net": {"input_dim": 1, "width": 5},
    "cos-net": {"input_dim": 1, "width": 5},
    "erf-net": {"input_dim": 1, "width": 5},
    "gauss-net": {"input_dim": 1, "width": 20},
    "mlp": {"input_dim": 2, "width": 5, "depth": 2},
    "relu-net": {"input_dim": 1, "width": 5},
    "residual-mlp": {"input_dim": 2, "width": 5},
}


def test_all_shipped_architectures_are_here():
    assert set(SHIPPED) == set(nnft.architectures())


@pytest.mark.slow_but("erf-net")
@pytest.mark.parametrize("name", SHIPPED)
def test_outputs_have_one_law_whatever_the_generator(name):
    """Products of outputs at two inputs, squashed so that tails have moments."""
    net = nnft.network(name, bias_std=0.5, **SHIPPED[name])
    dim = int(np.prod(SHIPPED[name]["input_dim"]))
    x = np.random.default_rng(1).normal(size=(2, dim))
    one, other = (
        nnft.sample_ensemble(
            net, x, 16_384, key=jax.random.key(seed), generator=generator
        ).values[..., 0].astype(np.float64)
        for seed, generator in enumerate(("fused13", "jax"))
    )  # fmt: skip
    for point in range(2):
        assert stats.ks_2samp(one[:, point], other[:, point]).pvalue > LEAST
    size = np.median(np.abs(other), axis=0)
    f, g = (np.tanh(values / (2 * size)).T for values in (one, other))
    for powers in [(2, 0), (0, 2), (1, 1), (4, 0), (3, 1), (2, 2), (1, 3), (0, 4)]:
        a, b = (h[0] ** powers[0] * h[1] ** powers[1] for h in (f, g))
        error = np.sqrt((a.var() + b.var()) / len(a))
        assert abs(a.mean() - b.mean()) < 5 * error, powers

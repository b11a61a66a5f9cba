import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnft_ppl.activations.structure import structure


@pytest.mark.parametrize(
    ("function", "kinks"),
    [
        (lambda z: jnp.where(z > 0.3, 1.0, -0.2), (0.3,)),
        (jnp.abs, (0.0,)),
        (lambda z: jnp.maximum(0.0, 1 - jnp.abs(z - 1) / 0.01), (0.99, 1.0, 1.01)),
        (lambda z: jnp.clip(z, -1e3, 0.5), (-1e3, 0.5)),
        (jax.nn.selu, (0.0,)),
    ],
    ids=["step", "abs", "triangle", "clip", "selu"],
)
def test_kinks_and_jumps_are_found(function, kinks):
    found = structure(function)
    assert found.needs_panels
    np.testing.assert_allclose(found.kinks, kinks, rtol=2e-8)


@pytest.mark.parametrize(
    "function",
    [jnp.tanh, jax.nn.softplus, jax.nn.silu, jnp.sin, lambda z: z**3, jnp.arctan],
)
def test_a_smooth_function_needs_no_panels(function):
    found = structure(function)
    assert not found.kinks
    assert not found.needs_panels


def test_a_smooth_feature_away_from_zero_gets_panels_of_its_own():
    found = structure(lambda z: jnp.exp(-(((z - 0.7) / 0.001) ** 2)))
    assert found.needs_panels
    assert not found.kinks
    assert all(abs(end - 0.7) < 0.01 for end in found.ends)


def test_an_oscillation_has_no_width_where_it_is_beyond_resolution():
    found = structure(lambda z: jnp.sin(20 * z))
    near, far = (float(found.width_at(jnp.asarray(z))) for z in (3.0, 1e6))
    assert 0.05 < near < 0.5
    assert far == 0.0


def test_kinks_without_end_are_no_panels_and_count_as_unresolved():
    found = structure(lambda z: z - jnp.floor(z))
    assert not found.needs_panels
    assert float(found.width_at(jnp.asarray(5.0))) == 0.0


def test_single_precision_inside_a_function_is_no_kink():
    assert not structure(lambda z: jnp.tanh(z.astype(jnp.float32))).needs_panels


def test_it_may_be_asked_for_while_a_program_is_traced():
    with jax.enable_x64(True):
        width = jax.jit(lambda z: structure(jnp.cos).width_at(z))(1.0)
    assert np.isfinite(width)

"""What a parameter's sums are over, read from a program."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from nnft_ppl.adapters.fan_in import fan_ins


def found(run, others=(), x=(3,), **shapes):
    weights = [name for name in shapes if name not in others]
    return fan_ins(lambda p, x: run(x, **p), shapes, weights, x)


@jax.custom_vjp
def product(w, x):
    return w @ x


product.defvjp(lambda w, x: (w @ x, None), lambda _, g: (g, g))

LAYERS = {
    "left": lambda x, w: w @ x,
    "right": lambda x, w: x @ w.T,
    "compiled": lambda x, w: jax.jit(jnp.matmul)(w, x),
    "recomputed": lambda x, w: jax.checkpoint(lambda w: jnp.tanh(w @ x))(w),
    "own derivative": lambda x, w: product(w, x),
    "many inputs": lambda x, w: jax.vmap(lambda row: w @ row)(jnp.outer(x, x)),
    "parts": lambda x, w: jnp.concatenate([w[:2], w[2:]])[::-1] @ x,
    "gathered": lambda x, w: w[jnp.array([0, 1])] @ x,
    "given precision": lambda x, w: w.astype(jnp.bfloat16) @ x.astype(jnp.bfloat16),
    "twice": lambda x, w: w[:3] @ (w[:3] @ x),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_matrix_sums_over_what_it_is_contracted_with(name):
    assert found(LAYERS[name], w=(5, 3)) == {"w": 3}


STACKS = {
    "scan": lambda x, w: lax.scan(lambda h, w: (w @ h, None), x, w)[0],
    "constant of a scan": lambda x, w: lax.scan(
        lambda h, i: (w[i] @ h, None), x, jnp.arange(7)
    )[0],
    "loop": lambda x, w: lax.fori_loop(0, 7, lambda i, h: w[i] @ h, x),
    "carried along": lambda x, w: lax.scan(
        lambda c, i: ((c[0][i] @ c[1], c[0])[::-1], None), (w, x), jnp.arange(7)
    )[0][1],
    "until a condition": lambda x, w: lax.while_loop(
        lambda c: c[1][0] + c[0] < 7,
        lambda c: (c[0] + 1, jnp.tanh(w[c[0]] @ c[1])),
        (0, x),
    )[1],
    "as many as the input says": lambda x, w: lax.fori_loop(
        0, x[0].astype(int), lambda i, c: (c[1][i] @ c[0], c[1]), (x, w)
    )[0],
    "one of two": lambda x, w: lax.cond(x[0] > 0, lambda: w[0] @ x, lambda: w[1] @ x),
    "side by side": lambda x, w: jax.vmap(lambda w: w @ x)(w),
    "by hand": lambda x, w: w[6] @ (w[0] @ x),
}


@pytest.mark.parametrize("name", STACKS)
def test_the_axis_of_a_stack_is_no_input(name):
    assert found(STACKS[name], w=(7, 3, 3)) == {"w": 3}


def test_several_axes_are_summed_over_together():
    def heads(x, w):
        return jnp.einsum("hd,hdo->o", jnp.outer(x[:2], x), w)

    assert found(heads, w=(2, 3, 5)) == {"w": 6}
    assert found(lambda x, w: w.reshape(6, 5).T @ jnp.tile(x, 2), w=(2, 3, 5)) == {
        "w": 6
    }
    assert found(lambda x, w: jnp.dot(x, w), w=(3,)) == {"w": 3}


def test_a_convolution_sums_over_its_window_and_the_channels_of_its_group():
    def convolve(x, w):
        return lax.conv_general_dilated(
            x[None], w, (1, 1), "SAME", feature_group_count=2
        )

    assert found(convolve, x=(4, 5, 5), w=(6, 2, 3, 2)) == {"w": 2 * 3 * 2}


NOT_WEIGHTS = {
    "factor": lambda x, w: w[0] * x,
    "added": lambda x, w: w + x[None],
    "normalised": lambda x, w: (w / jnp.linalg.norm(w)) @ x,
    "also a factor": lambda x, w: w @ x + w[:, 0],
    "looked up": lambda x, w: w[x[0].astype(int)] @ jnp.outer(x, x),
    "beside an input": lambda x, w: jnp.concatenate([w[0], x]) @ jnp.tile(x, 2),
    "padded": lambda x, w: jnp.pad(w, ((0, 0), (1, 1))) @ jnp.pad(x, 1),
    "repeated": lambda x, w: jnp.repeat(w, 2, axis=1)[:, :3] @ x,
    "of two lengths": lambda x, w: w.T @ (w @ x),
    "added on a condition": lambda x, w: lax.cond(
        x[0] > 0, lambda: w @ x, lambda: w[:, 0]
    ),
    "picked by the input": lambda x, w: (
        lax.cond(x[0] > 0, lambda: w[:3], lambda: w[2:]) @ x
    ),
    "unused": lambda x, w: x,
    "start of a loop": lambda x, w: lax.scan(
        lambda h, _: (h @ jnp.outer(x, x), None), w, None, 4
    )[0],
}


@pytest.mark.parametrize("name", NOT_WEIGHTS)
def test_what_is_no_weight_of_one_sum_has_no_fan_in(name):
    assert found(NOT_WEIGHTS[name], w=(5, 3)) == {}


def test_a_product_of_parameters_has_none_but_one_after_the_other_has():
    low_rank = {"a": (3, 2), "b": (2, 5)}
    assert found(lambda x, a, b: (x @ a) @ b, **low_rank) == {"a": 3, "b": 2}
    assert found(lambda x, a, b: x @ (a @ b), **low_rank) == {}
    # Where the prior of one is given, it is an activation like another.
    assert found(lambda x, a, b: x @ (a @ b), others=("a",), **low_rank) == {"b": 2}

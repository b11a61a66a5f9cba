"""Arrays from outside: what NumPy would read as other numbers than it holds."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl._arrays import real_array, real_numbers
from nnft_ppl.eft.density import EdgeworthDensity
from nnft_ppl.eft.integration.pair_sums import check_cutoffs

MASKED = np.ma.masked_values([[0.1, 0.2], [0.3, -999.0]], -999.0)
DAYS = np.array([["2020-01-01", "2020-01-02"]] * 2, "M8[D]")
NO_NUMBERS = {
    "masked": (MASKED, r"hold a masked entry, at \[1, 1\].*`filled`"),
    "list of masked": (list(MASKED), r"hold a masked entry, at \[1, 1\]"),
    "dates": (DAYS, r"their type is datetime64\[D\]\).*a unit that you choose"),
    "durations": (DAYS - DAYS[0, 0], r"timedelta64\[D\]\).*a unit that you choose"),
    "texts": ([["1", "2"], ["3", "4"]], r"their type is <U1\); expected real numbers"),
    "bytes": (np.array([[b"1", b"2"]] * 2), r"their type is \|S1\)"),
    "objects": (np.array([[1.0, None]] * 2), r"their type is object\)"),
    "fractions": ([[Fraction(1, 2)] * 2] * 2, r"their type is object\)"),
    "truths": (np.eye(2) > 0, r"their type is bool\).*\.astype\(float\)"),
    "complex": (np.eye(2) + 0j, r"complex128\).*real and imaginary part"),
    "complex of JAX": (jnp.eye(2) * 1j, r"their type is complex"),
    "records": (np.zeros((2, 2), "f4,f4"), r"their type is \[\("),
    "keys": (jax.random.split(jax.random.key(0), (2, 2)), r"their type is key<fry>"),
    "ragged": ([[1.0], [2.0, 3.0]], r"no array of real numbers \(.*inhomogeneous"),
}


def relu_net():
    return nnft.network("relu-net", width=3, input_dim=2)


def parameters(net):
    return nnft.ensemble.model.sample_prior(net, jax.random.key(0))


ENTRIES = {
    "inputs": lambda x: relu_net().check_inputs(x),
    "kernel": lambda x: relu_net().kernel([[1.0, 2.0]], x),
    "measure": lambda x: nnft.measure_correlators(
        relu_net(), x, (2,), num_draws=100, key=jax.random.key(0)
    ),
    "width": lambda x: nnft.required_width(relu_net(), x, 0.1),
    "one draw": lambda x: relu_net().apply(parameters(relu_net()), x),
    "measure of a data set": nnft.Empirical,
    "pairs": lambda x: nnft.pair_recursion(
        nnft.network("mlp", width=3, input_dim=1), [0.5, 1.0], x
    ),
    "cutoffs": check_cutoffs,
    "couplings": lambda x: nnft.beta_functions(
        nnft.Action(["lambda_0", "lambda_2"]), relu_net(), np.eye(2), [9.0, 10.0], x
    ),
    "density": lambda x: EdgeworthDensity.build(x, np.eye(5)),
    "fields": lambda x: EdgeworthDensity.build(np.eye(2), np.eye(5)).response(x),
}


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_what_holds_no_real_numbers_is_refused(kind):
    given, message = NO_NUMBERS[kind]
    with pytest.raises(nnft.SpecError, match=f"^inputs .*{message}"):
        real_numbers("inputs", given, "(point, 2)")


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("kind", ["masked", "dates", "truths", "complex"])
def test_wherever_an_array_comes_in(entry, kind):
    given, message = NO_NUMBERS[kind]
    with pytest.raises(nnft.SpecError, match=message):
        ENTRIES[entry](given)


@pytest.mark.parametrize(
    "given",
    [
        np.ma.masked_values([[0.5, 2.0]], -999.0),
        [np.float32(0.5), 2],
        np.array([0.5, 2.0], np.float16),
        jnp.array([0.5, 2.0], jnp.bfloat16),
        (0.5, 2),
    ],
    ids=lambda given: type(given).__name__,
)
def test_real_numbers_of_any_type_pass_as_they_are(given):
    found = real_numbers("inputs", given, "(2,)")
    assert (found.dtype, found.ravel().tolist()) == (np.float64, [0.5, 2.0])


def test_bits_that_are_no_number_in_longer_floats_are_nan():
    """A warning of NumPy's, for bytes of a file that no processor writes."""
    bits = b"\x05" + bytes(7) + b"\xff\x3f" + bytes(np.longdouble(0).itemsize - 10)
    given = np.frombuffer(bits, np.longdouble)
    assert np.isnan(real_numbers("given", given, "(1,)")).all()


def test_arrays_pass_under_transformations_of_jax():
    double = jax.jit(lambda x: 2 * real_array("inputs", x, "(point,)"))
    assert double(jnp.arange(3.0)).tolist() == [0, 2, 4]

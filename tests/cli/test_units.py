"""What the text of an option means, and what is refused."""

import click
import jax
import pytest

import nnft_ppl as nnft
from nnft_ppl.cli.units import COUNT, DEVICES, EXTENSION, MEMORY, chosen_devices

OPTION = click.Option(["--option"])


def read(kind, text):
    return kind.convert(text, OPTION, None)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (COUNT, "1e7", 10_000_000),
        (COUNT, "100000", 100_000),
        (COUNT, "2.5e3", 2500),
        (COUNT, "9007199254740993", 2**53 + 1),
        (COUNT, 7, 7),
        (MEMORY, "500MB", 500_000_000),
        (MEMORY, "1.5 GB", 1_500_000_000),
        (MEMORY, "64kB", 64_000),
        (MEMORY, "2GiB", 2 * 1024**3),
        (MEMORY, "8mib", 8 * 1024**2),
        (DEVICES, "2", 2),
        (DEVICES, "0,2", (0, 2)),
        (DEVICES, "1,", (1,)),
    ],
)
def test_value(kind, text, value):
    assert read(kind, text) == value


@pytest.mark.parametrize(
    ("text", "total"),
    [("10x", 1000), ("1.5x", 150), ("1e2x", 10_000), ("5e6", 5000100)],
)
def test_extension(text, total):
    assert read(EXTENSION, text).total(100) == total


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (COUNT, "many", "`--option many` is no whole number; write one such as"),
        (COUNT, "1.5", "`--option 1.5` is no whole number"),
        (COUNT, "inf", "`--option inf` is no whole number"),
        (COUNT, "nan", "`--option nan` is no whole number"),
        (MEMORY, "500", "`--option 500` is no size; write a number and a unit"),
        (MEMORY, "-1GB", "`--option -1GB` is no size"),
        (MEMORY, "5 apples", "`--option 5 apples` is no size"),
        (MEMORY, "GB", "`--option GB` is no size"),
        (DEVICES, "all", "neither a number of devices nor a list"),
        (DEVICES, "-1", "neither a number of devices nor a list"),
        (DEVICES, "0,0", "names a device twice"),
        (EXTENSION, "1x", "`--option 1x` adds no networks; write how many times"),
        (EXTENSION, "0.5x", "adds no networks"),
        (EXTENSION, "-5", "adds no networks"),
        (EXTENSION, "0", "adds no networks"),
        (EXTENSION, "x", "adds no networks"),
    ],
)
def test_nonsense_is_refused(kind, text, message):
    with pytest.raises(nnft.SpecError) as refused:
        read(kind, text)
    assert message in str(refused.value)


def test_devices_are_those_of_this_process():
    assert chosen_devices(None) is None
    assert chosen_devices(1) == 1
    assert chosen_devices((0,)) == [jax.local_devices()[0]]
    with pytest.raises(nnft.SpecError, match="there is no device 99, only 0"):
        chosen_devices((0, 99))

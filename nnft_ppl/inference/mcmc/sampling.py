"""How much is sampled: what every run of NUTS is told, checked once at the border."""

from dataclasses import asdict, dataclass

from nnft_ppl._arguments import check_whole

_MOST = 2**31 - 1
"""JAX counts steps by 32 bits."""


@dataclass(frozen=True)
class Sampling:
    """Lengths and number of the chains.

    Attributes:
        num_warmup: Steps of each chain that adapt.
        num_samples: Draws kept per chain.
        num_chains: Number of chains, side by side.

    Raises:
        SpecError: One is no whole number ≥ 1.
    """

    num_warmup: int
    num_samples: int
    num_chains: int

    def __post_init__(self) -> None:
        """Check the numbers and make them ints."""
        for name, value in asdict(self).items():
            object.__setattr__(self, name, _checked(name, value))

    @property
    def num_steps(self) -> int:
        """Of each chain in all."""
        return self.num_warmup + self.num_samples


def _checked(name: str, value: object) -> int:
    return check_whole(name, check_whole(name, value), most=_MOST)

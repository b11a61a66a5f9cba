"""A measured kernel for a network: the public door."""

from dataclasses import replace
from math import isfinite

import jax

from nnft_ppl._errors import UnavailableError
from nnft_ppl._measured_kernel import NUM_BLOCKS, KernelDraws
from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.ensemble.model import check_key, check_num_draws, check_prior


def measured_kernel(network: Network, num_draws: int, *, key: Key) -> Network:
    """The network with a measured kernel in the place of its own, or of none.

    Whatever takes a network's kernel takes this one, and fits count its error beside
    that of the data. At another width (`with_width`) it is measured at that width: it
    is the 2-pt function of the network, which in a deep net is not that of the limit of
    infinite width but differs by order 1/width.

    Args:
        network: With a linear readout, networks are averaged over their output weights
            exactly; the outputs of others are sampled, which is noisier.
        num_draws: Networks that it is averaged over, rounded up to a multiple of 12.
            About as many as the correlators that are fitted make its error small
            beside theirs.
        key: A JAX random key, another than that of the correlators.

    Returns:
        The network with K(x, y) = σ_b² + σ_W² ⟨φ(x)·φ(y)⟩/F, ⟨⟩ the mean over networks
        of the F features before the readout, or ⟨f(x) f(y)⟩ of the outputs; float64,
        with one standard error as its `kernel_error`. Where f and −f may not be alike
        it is that of f less its mean.

    Raises:
        SpecError: Number or key are unusable.
        UnavailableError: The output weights have no variance, so there is no kernel.
        PluginError: The prior does not run under NumPyro.

    Source: theory.md §3, K̂ of one network, averaged.
    """
    num_draws = check_num_draws(num_draws, 10 * NUM_BLOCKS)
    key = check_key(key)
    readout = network.readout()
    law = None if readout is None else readout.weight_moment
    if law is not None and not isfinite(law(2)):
        raise UnavailableError(
            f"the output weights of {network.name!r} have no variance, so that its "
            "output has no 2-pt function to measure"
        )
    check_prior(network)
    words = tuple(int(word) for word in jax.random.key_data(key))
    blocks = -(-num_draws // NUM_BLOCKS)
    draws = KernelDraws(blocks * NUM_BLOCKS, (words[0], words[1]))
    return replace(network, kernel_draws=draws)

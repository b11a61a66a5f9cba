"""The few error types of nnft_ppl; every message names value, expectation, remedy."""


class NnftError(Exception):
    """Base of all errors raised on purpose by nnft_ppl."""


class PluginError(NnftError):
    """A plugin cannot be used: missing, broken, clashing or breaking the contract."""


class SpecError(NnftError, ValueError):
    """Something the user gave is outside what is allowed; raised before any work."""


class UnavailableError(NnftError):
    """The request is sensible, but this architecture supplies no means to meet it."""


class FitError(NnftError):
    """Inference ran and its numbers cannot be used."""


class StorageError(NnftError, OSError):
    """A file cannot be written or read, and not for what is in it."""

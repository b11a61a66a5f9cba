"""The version, written once; what imports it imports nothing else."""

__version__ = "0.2.0"

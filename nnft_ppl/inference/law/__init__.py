"""The laws by which couplings run, fitted to all cutoffs at once."""

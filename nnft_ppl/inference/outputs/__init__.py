"""Couplings from raw network outputs, by the density of the field."""

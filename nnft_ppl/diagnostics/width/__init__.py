"""How wide is wide enough for the Gaussian process."""

"""How couplings change with the cutoff, by the theory alone."""

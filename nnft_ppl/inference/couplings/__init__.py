"""The posterior of the couplings, one cutoff at a time, and what follows."""

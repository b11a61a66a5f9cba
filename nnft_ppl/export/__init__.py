"""Numbers out: couplings and correlators as text and as objects of other packages.

In: `CouplingFit` or `Correlators`. Out: values with their covariance, as CSV, JSON,
LaTeX, gvar or pyerrors. One module a format; `numbers.py` is what all of them write.
"""

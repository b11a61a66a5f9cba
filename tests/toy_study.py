"""A study of toy size, run once for the tests of studies, reports and commands."""

TOY = """
[network]
architecture = "relu-net"
widths = [3, 30]

[inputs]
points = [0.5, 1.0]

[ensemble]
num_draws = 5000
plain_draws = 1000
seed = 5

[eft]
width = 20
operators = ["lambda_0"]
cutoffs = [10, 100, 1000]
candidates = [["lambda_0"], ["lambda_0", "lambda_2"]]
sampler = "conjugate"
num_samples = 500
num_chains = 2
"""

ALONE = TOY.partition("[eft]")[0]
"""Without an effective action."""

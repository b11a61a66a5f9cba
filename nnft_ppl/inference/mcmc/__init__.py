"""NUTS chains as pure functions, run in segments that are saved."""

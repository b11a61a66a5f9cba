"""Sums over integration points: kernel tables, products, errors."""

"""Correlators of draws from anywhere: an array or a file, read a block at a time."""

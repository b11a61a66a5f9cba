"""Correlators measured on random networks, which are streamed."""

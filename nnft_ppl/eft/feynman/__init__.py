"""Feynman diagrams of an action: every one, with its factor, formula and drawing."""

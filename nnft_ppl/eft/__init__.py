"""Stage `eft`; its public names are re-exported by `nnft_ppl`."""

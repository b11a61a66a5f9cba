"""The standard architectures, one plugin a file; they import only public names."""

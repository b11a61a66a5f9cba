"""Networks given data: exact inference at finite width, and kernels to build it on."""

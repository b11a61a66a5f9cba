"""Networks after training: tangent kernels at finite width, and trained ensembles."""

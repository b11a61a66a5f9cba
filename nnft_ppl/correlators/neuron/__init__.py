"""Networks of independent, identical neurons: integrals over one of them."""

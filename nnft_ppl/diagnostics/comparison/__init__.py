"""Which action describes the network: evidence and what is left out."""

"""Where integration points go, and with which weights."""

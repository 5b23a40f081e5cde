"""API keys: who may do what, the keys file, and the keys of one run."""

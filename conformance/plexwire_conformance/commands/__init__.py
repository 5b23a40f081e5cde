"""The commands of the suite, one module each."""

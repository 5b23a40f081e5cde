"""The gateway under test: where it is, how to reach it, and with which keys."""

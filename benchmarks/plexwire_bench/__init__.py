"""Measures video gateways from outside: ours, peers of our own writing, and the floor that the kernel sets.

Linux only: CPU times come from /proc, and processes are pinned to CPUs.
"""

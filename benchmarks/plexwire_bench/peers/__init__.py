"""Gateways to compare with: the same protocol, as little of it as a benchmark needs, on other libraries."""

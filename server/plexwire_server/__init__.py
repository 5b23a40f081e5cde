"""The reference gateway on Trio; needs `plexwire[server]`."""

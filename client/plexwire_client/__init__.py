"""Viewer and device clients on Trio; needs `plexwire[client]`."""

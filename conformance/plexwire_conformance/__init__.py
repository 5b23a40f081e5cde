"""The conformance suite; needs `plexwire[conformance]`."""

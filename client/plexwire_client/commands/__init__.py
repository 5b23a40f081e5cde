"""The commands `plexwire watch` and `plexwire publish`."""

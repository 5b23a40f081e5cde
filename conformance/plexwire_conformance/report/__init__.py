"""Reports: each is made from the run's one stream of events."""

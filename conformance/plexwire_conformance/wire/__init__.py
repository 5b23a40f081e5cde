"""RFC 6455 of our own, and raw peers that speak it: the judge shares no code with the gateway under test."""

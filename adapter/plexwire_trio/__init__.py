"""Sessions of the core played over trio-websocket connections; shared by gateway and clients."""

"""Plain HTTP: requests before they become a WebSocket, responses, and the viewer page."""

"""What to send to a gateway, as data: keys that are nearly right, handshakes of real clients, messages of every kind.

Pure: nothing here knows a connection, and nothing imports the rest of the suite.
"""

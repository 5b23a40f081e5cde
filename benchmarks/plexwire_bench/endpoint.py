"""Where a gateway listens, and how its load generator gets in."""

import socket
import ssl

from attrs import frozen


@frozen
class Endpoint:
    """One listener on this machine."""

    host: str
    port: int
    tls: bool = False

    @classmethod
    def parse(cls, text: str, *, tls: bool = False) -> "Endpoint":
        """Return the endpoint in `HOST:PORT`.

        Raises:
            ValueError: the port is not a number.

        """
        host, _, port = text.rpartition(":")
        return cls(host, int(port), tls)

    def __str__(self) -> str:
        """Return what `parse` reads."""
        return f"{self.host}:{self.port}"

    def open(self) -> socket.socket:
        """Return a new connection, behind its TLS handshake if there is one."""
        connection = socket.create_connection((self.host, self.port), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self.tls:
            return connection
        # The certificate was made for this run, and the connection stays on this machine: there is nobody to verify.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(connection)

"""Certificates from files, and what can be wrong with them."""

import ssl
import stat
from pathlib import Path


class TlsError(Exception):
    """Files that can't be used; the text is one line."""


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """Return what a gateway speaks TLS with: a certificate chain and its private key, PEM.

    Raises:
        TlsError: a file is missing, or they are no pair.

    """
    _check_there(cert, key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password of ours, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:
        raise TlsError(f"{cert} and {key} are no pair to use: {_why(error)}") from None
    return context


def client_context(authority: Path) -> ssl.SSLContext:
    """Return what an edge trusts its upstream with: certificates that *authority*, PEM, has signed, and no others.

    Raises:
        TlsError: the file is missing, or holds no certificate.

    """
    _check_there(authority)
    try:
        return ssl.create_default_context(cafile=authority)
    except (OSError, ValueError) as error:
        raise TlsError(f"{authority} holds no certificate to trust: {_why(error)}") from None


def _check_there(*paths: Path) -> None:
    for path in paths:
        try:
            # Path.is_file() has taken every error for an absence since Python 3.14.
            found = stat.S_ISREG(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            found = False
        except OSError as error:  # a folder on the way that is not ours to enter, as those of certificates often are
            raise TlsError(f"{path}: {_why(error)}.") from None
        if not found:
            raise TlsError(f"{path}: there is no such file.")


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)

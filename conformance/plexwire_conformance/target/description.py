"""What people say about a target, by options or in a file, and how it becomes one."""

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import evolve, field, fields, frozen

from plexwire_conformance.target.target import (
    BadTarget,
    Camera,
    Endpoint,
    Keys,
    Target,
    read_keys,
    split_url,
)
from plexwire_trio import BadProxy, Proxy, choose_proxy, clean_key, read_proxy

#: What every id of a source that a run makes up begins with, unless said otherwise.
SOURCE_ID: Final = "plexwire"
#: Sockets open at once, unless said otherwise; with fewer than the least most cases can't be carried out.
MAX_CONNECTIONS: Final = 64
LEAST_CONNECTIONS, MOST_CONNECTIONS = 8, 1000
#: The most streams of a key whose seats a run tries.
MOST_STREAMS: Final = 2000

_LEAST_SECRET: Final = 4
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\uffff]*")
#: Headers that the handshake has already, or that would make another request of it.
_OURS: Final = frozenset(
    ("host", "upgrade", "connection", "user-agent", "content-length", "transfer-encoding")
)
#: What every key looks like that the protocol's makers hand out.
_KEY: Final = re.compile(r"plx_\w", re.IGNORECASE)


@frozen(kw_only=True)
class TargetDescription:
    """What was said about a target; None and empty mean that nothing was.

    `key_variables` names, by the member of `Keys`, the environment variable that holds it, in place of the usual ones.
    `header_variables` does so for headers whose values are secret.
    """

    url: str | None = None
    device_url: str | None = None
    source_id: str | None = None
    live: str | None = None
    keys_file: Path | None = None
    key_variables: Mapping[str, str] = field(factory=dict[str, str])
    ca: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    headers: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    header_variables: Mapping[str, str] = field(factory=dict[str, str])
    proxy: str | None = None
    max_connections: int | None = None
    streams: int | None = None
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    expected_failures: Path | None = None

    def over(self, other: "TargetDescription") -> "TargetDescription":
        """Return what *self* says, and *other* where it says nothing; headers go by their names."""
        said = {
            member.name: getattr(self, member.name)
            for member in fields(TargetDescription)
            if getattr(self, member.name) not in (None, (), {})
        }
        if "keys_file" in said:
            said["key_variables"] = {}
        ours = {name.lower() for name in self.headers}
        kept = {name: value for name, value in other.headers.items() if name.lower() not in ours}
        from_variables = {
            name: variable
            for name, variable in other.header_variables.items()
            if name.lower() not in ours
        }
        said |= {"headers": kept | dict(self.headers), "header_variables": from_variables}
        return evolve(other, **said)

    def keys(self, environment: Mapping[str, str]) -> Keys:
        """Return the keys that it tells of.

        Raises:
            BadTarget: there are none; the text says where one should be.
        """
        if not self.key_variables:
            return read_keys(environment, self.keys_file)
        for variable in self.key_variables.values():
            if not environment.get(variable):
                raise BadTarget(f"no key: the environment has no {variable}")
        return Keys.of(
            {name: clean_key(environment[held]) for name, held in self.key_variables.items()}
        )

    def target(self, environment: Mapping[str, str], keys: Keys | None = None) -> Target | None:
        """Return the target; None, without a URL, is the reference gateway itself.  *keys* stand in for its own.

        Raises:
            BadTarget: this describes none; the text says what to do.
        """
        if self.url is None:
            # What --header and the others say is lost on it, too, but these mean that the URL was forgotten.
            going_with = (self.device_url, self.keys_file, self.live, self.streams)
            if any(said is not None for said in going_with):
                raise BadTarget("--device-url, --keys-file, --live and --streams go with a URL")
            return None
        live = None if self.live is None else Camera.parse(self.live)
        headers = dict(self.headers)
        for name, variable in self.header_variables.items():
            if variable not in environment:
                raise BadTarget(f"header {name}: the environment has no {variable}")
            headers[name] = environment[variable]
            check_header(name, headers[name])
        context = self._ssl_context()
        proxies = [
            self._proxy(url, environment) for url in (self.url, self.device_url) if url is not None
        ]
        viewers = Endpoint.of_url(self.url, ssl_context=context, proxy=proxies[0])
        devices = viewers
        if self.device_url is not None:
            devices = Endpoint.of_url(self.device_url, ssl_context=context, proxy=proxies[1])
        if keys is None:
            keys = self.keys(environment)
        keys.check_apart()
        secrets = [headers[name] for name in self.header_variables]
        secrets += [secret for proxy in proxies if proxy is not None for secret in proxy.secrets]
        # What is shorter is no secret, and taking it out would take apart what reports say.
        secrets = [secret for secret in secrets if len(secret) >= _LEAST_SECRET]
        return Target(
            viewers=viewers,
            devices=devices,
            keys=evolve(keys, other_secrets=(*keys.other_secrets, *secrets)),
            source_prefix=self.source_id or SOURCE_ID,
            headers=tuple(headers.items()),
            live=live,
            streams=self.streams,
        )

    def _proxy(self, url: str, environment: Mapping[str, str]) -> Proxy | None:
        parts = split_url(url)
        try:
            return choose_proxy(self.proxy, environment, parts.scheme, parts.host, parts.port)
        except BadProxy as error:
            raise BadTarget(str(error)) from None

    def _ssl_context(self) -> ssl.SSLContext | None:
        if self.client_key is not None and self.client_cert is None:
            raise BadTarget("a client key goes with a client certificate")
        if self.ca is None and self.client_cert is None:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            why = _why(error)
            raise BadTarget(f"can't use {self.ca} as a certificate authority: {why}") from None
        if self.client_cert is not None:
            _load_client(context, self.client_cert, self.client_key)
        return context


def _load_client(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    held = f"{certificate}" if key is None else f"{certificate} with {key}"

    def ask() -> str:
        # Otherwise OpenSSL asks in the terminal, and in CI there is nobody to answer.
        raise BadTarget(f"can't use {held} as a client certificate: the key is encrypted")

    try:
        context.load_cert_chain(certificate, key, password=ask)
    except (OSError, ssl.SSLError) as error:
        raise BadTarget(f"can't use {held} as a client certificate: {_why(error)}") from None


def _why(error: OSError) -> str:
    # An SSLError is an OSError whose text is for those who maintain OpenSSL.
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "").lower().replace("_", " ")
        return reason or "it holds none in PEM"
    return error.strerror or str(error)


# ── what may be said ─────────────────────────────────────────────────────────────────────────


def looks_like_a_key(text: str) -> bool:
    """Whether *text* seems to hold an API key."""
    return _KEY.search(text) is not None


def check_header(name: str, value: str) -> None:
    """Check that a header can go with every handshake.

    Raises:
        BadTarget: it can't; the text never has its value.
    """
    if _TOKEN.fullmatch(name) is None:
        raise BadTarget(f"{name!r} is no name of a header")
    if name.lower() in _OURS or name.lower().startswith("sec-websocket-"):
        raise BadTarget(f"the header {name} belongs to the handshake itself")
    if _VALUE.fullmatch(value) is None:
        raise BadTarget(f"the value of the header {name} has characters that none may have")


def check_proxy(proxy: str) -> None:
    """Check a proxy that is said by option or in a file, where no password belongs.

    Raises:
        BadTarget: it can't be used, or has a login.
    """
    try:
        read_proxy(proxy)
    except BadProxy as error:
        raise BadTarget(str(error)) from None

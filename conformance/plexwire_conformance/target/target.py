"""The gateway under judgement: where it is, how to reach it, which keys we were given."""

import re
import ssl
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import trio
from attrs import field, frozen

import plexwire_trio
from plexwire_conformance.target.proxy import dial_through
from plexwire_conformance.target.streams import Dial, dial_tcp
from plexwire_trio import BadUrl, GatewayUrl, Proxy

#: A user and a password in a URL, however badly the rest of it is written.
_LOGIN: Final = re.compile(r"\A(\w+://)?.*@", re.DOTALL)


#: What the reference gateway is called if it is judged since there was no URL.
REFERENCE: Final = "the reference gateway (no URL was given)"


class BadTarget(Exception):
    """The target can't be judged as it was given; the text says what to do."""


@frozen(kw_only=True)
class Keys:
    """The keys that a run may use; an empty one was not given.  None of them shows in a repr.

    `other_secrets` are no keys, such as secret headers, but no report may show them either.
    """

    api_key: str = field(repr=False)
    device_key: str = field(default="", repr=False)
    foreign_key: str = field(default="", repr=False)
    no_access_key: str = field(default="", repr=False)
    revoked_key: str = field(default="", repr=False)
    other_key: str = field(default="", repr=False)
    read_key: str = field(default="", repr=False)
    other_secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "Keys":
        """Return the keys in *values*, which go by their names here."""
        return cls(
            api_key=values["api_key"],
            device_key=values.get("device_key", ""),
            foreign_key=values.get("foreign_key", ""),
            no_access_key=values.get("no_access_key", ""),
            revoked_key=values.get("revoked_key", ""),
            other_key=values.get("other_key", ""),
            read_key=values.get("read_key", ""),
        )

    def check_apart(self) -> None:
        """Check that keys which must differ do.

        Raises:
            BadTarget: two of them are the same key; the text says which.
        """
        for name in _MEANT:
            for other in ("api_key", "device_key"):
                if getattr(self, name) and getattr(self, name) == getattr(self, other):
                    raise BadTarget(
                        f"{VARIABLES[name]} and {VARIABLES[other]} hold the same key; {_MEANT[name]}"
                    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every key and other secret, longest first, for the recorder to take out."""
        given = {
            *self.other_secrets,
            self.api_key,
            self.device_key,
            self.foreign_key,
            self.no_access_key,
            self.revoked_key,
            self.other_key,
            self.read_key,
        }
        return tuple(sorted(filter(None, given), key=len, reverse=True))


#: What to do if a key that must differ does not.
_MEANT: Final = {
    "foreign_key": "give a key of a second organisation, or none",
    "no_access_key": "give a key whose plan has no API access, or none",
    "revoked_key": "give a key that is revoked, or none",
    "other_key": "give a second key of the same organisation, or none",
    "read_key": "give a key whose scopes allow reading only, or none",
}

#: Which environment variable gives which key.
VARIABLES: Final = {
    "api_key": "PLEXWIRE_API_KEY",
    "device_key": "PLEXWIRE_DEVICE_KEY",
    "foreign_key": "PLEXWIRE_FOREIGN_KEY",
    "no_access_key": "PLEXWIRE_NO_ACCESS_KEY",
    "revoked_key": "PLEXWIRE_REVOKED_KEY",
    "other_key": "PLEXWIRE_OTHER_KEY",
    "read_key": "PLEXWIRE_READ_KEY",
}


def read_keys(environment: Mapping[str, str], keys_file: Path | None) -> Keys:
    """Return the keys in *keys_file* if there is one, else those in *environment*.

    Raises:
        BadTarget: the file can't be used, or there is no PLEXWIRE_API_KEY.
    """
    try:
        values = plexwire_trio.read_keys(VARIABLES.values(), environment, keys_file, hint=_hint)
    except plexwire_trio.BadKeys as error:
        raise BadTarget(str(error)) from None
    found = {field: values.get(variable, "") for field, variable in VARIABLES.items()}
    if not found["api_key"]:
        raise BadTarget(
            f"no key: set {VARIABLES['api_key']}, or give --keys-file with a line "
            f"{VARIABLES['api_key']}=plx_…"
        )
    return Keys.of(found)


def _hint(sentence: str) -> None:
    print(f"Hint: {sentence}", file=sys.stderr)


@frozen(kw_only=True)
class Endpoint:
    """One base URL, taken apart, and the function that opens byte streams to it.

    `holds` is how many bytes may lie between the gateway and a viewer that does not read, at most.
    """

    url: str
    host_header: str
    path: str
    dial: Dial = field(repr=False)
    holds: int = 8 * 1024 * 1024
    #: Opens the same with TLS, whatever the certificate; None if TLS is spoken anyway, or can't be.
    dial_tls: Dial | None = field(default=None, repr=False)

    async def speaks_tls(self, within: float) -> bool:
        """Whether a gateway that is addressed by ws:// turns out to speak TLS, in so many seconds at most."""
        if self.dial_tls is None:
            return False
        with trio.move_on_after(within):
            try:
                stream = await self.dial_tls(False)
            except (OSError, trio.BrokenResourceError):
                return False
            await trio.aclose_forcefully(stream)
            return True
        return False

    @classmethod
    def of_url(
        cls, url: str, *, ssl_context: ssl.SSLContext | None = None, proxy: Proxy | None = None
    ) -> "Endpoint":
        """Take *url* apart: ws:// or wss://, host, optional port, optional base path; *proxy* is the way there.

        Raises:
            BadTarget: it is no such URL; the text says why.
        """
        parts = split_url(url)
        host, port = parts.host, parts.port
        context = (ssl_context or ssl.create_default_context()) if parts.secure else None

        async def dial_with(context: ssl.SSLContext | None, narrow: bool) -> trio.abc.Stream:
            if proxy is None:
                return await dial_tcp(host, port, ssl_context=context, narrow=narrow)
            return await dial_through(proxy, host, port, ssl_context=context, narrow=narrow)

        return cls(
            url=url.rstrip("/"),
            host_header=parts.host_header,
            path=parts.prefix,
            dial=partial(dial_with, context),
            dial_tls=None if parts.secure else partial(dial_with, _trusting_context()),
        )


def _trusting_context() -> ssl.SSLContext:
    """Return a context that takes any certificate: nothing is sent there but the beginning of TLS."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def split_url(url: str) -> GatewayUrl:
    """Take *url* apart: ws:// or wss://, host, optional port, optional base path.

    Raises:
        BadTarget: it is no such URL; the text says why.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadTarget(f"{without_login(url)!r} is no URL: {error}") from None
    if parts.scheme not in ("ws", "wss"):
        hint = {
            "http": "; write ws:// instead of http://",
            "https": "; write wss:// instead of https://",
        }
        raise BadTarget(
            f"{without_login(url)!r} must begin with ws:// or wss://{hint.get(parts.scheme, '')}"
        )
    if not host:
        raise BadTarget(
            f"{without_login(url)!r} names no host; write it as wss://gateway.example.com"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadTarget(f"give only the base URL, {base_url(url)}: no user, no query, no fragment")
    try:
        return GatewayUrl.parse(url)
    except BadUrl as error:
        raise BadTarget(str(error)) from None


def base_url(url: str) -> str:
    """Return what is before the paths of the protocol in *url*, as ws:// or wss://, without user, query and fragment."""
    parts = urlsplit(url)
    path, _, _ = parts.path.partition("/v1/sources")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    place = parts.netloc.rpartition("@")[2]
    return f"{scheme}://{place}{path.removesuffix('/').removesuffix('/ws/device')}"


def without_login(url: str) -> str:
    """Return what was given for a URL, right or wrong, as an error may quote it."""
    return _LOGIN.sub(r"\1•••@", url)


@frozen
class Camera:
    """One camera of one source, wherever it is."""

    source_id: str
    camera_id: str

    def __str__(self) -> str:
        return f"{self.source_id}/{self.camera_id}"

    @classmethod
    def parse(cls, text: str) -> "Camera":
        """Read SOURCE_ID/CAMERA_ID, both as they are, without escapes; a camera's id may have slashes of its own.

        Raises:
            BadTarget: *text* names no camera; the text says what is missing.
        """
        source_id, slash, camera_id = text.partition("/")
        if not slash:
            raise BadTarget(
                f"{text!r} names no camera: a live camera goes as SOURCE_ID/CAMERA_ID, robot-01/front"
            )
        if not source_id:
            raise BadTarget(f"{text!r} has no source id in front of the slash")
        if not camera_id:
            # More often an empty variable than a camera without a name.
            raise BadTarget(
                f"{text!r} has no camera id behind the slash; a camera that viewers get without asking "
                f"for one goes as {source_id}/default"
            )
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadTarget(f"{text!r} is not UTF-8") from None
        return cls(source_id, camera_id)


@frozen(kw_only=True)
class Target:
    """What a run judges: the viewers' and the devices' endpoint, the keys, and where sources are made up.

    `source_prefix` begins the id of every source that the run makes up; `headers` go with every handshake.  `live` is a
    camera that runs there, and that the run may watch.  A gateway that the suite runs itself is `called` something, and
    the command line takes the options `chosen_by` to judge it, instead of a URL.
    """

    viewers: Endpoint
    devices: Endpoint
    keys: Keys
    source_prefix: str = "plexwire"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    live: Camera | None = None
    #: How many streams of one key the gateway allows at once, if that is known.
    streams: int | None = None
    called: str = ""
    chosen_by: tuple[str, ...] = ()

    @property
    def publishing(self) -> str:
        """The key that devices use: the one given for them, or the viewers'.

        Empty where there is a camera to watch instead: then nothing is published, and no key tried for it.
        """
        return self.keys.device_key or ("" if self.live is not None else self.keys.api_key)

    @property
    def watched(self) -> Camera | None:
        """The live camera, where the run has no other to watch, since it publishes nothing."""
        return None if self.publishing else self.live

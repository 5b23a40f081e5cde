"""What `plexwire serve` says when it is ready."""

from importlib.util import find_spec
from typing import Final

from plexwire_protocol import DEVICE_PATH, StreamAddress
from plexwire_server.keys._key_store import ThrowAwayKeys

_EXAMPLE = StreamAddress(source_id="robot-01", cameras=("front",))


def base_url(host: str, port: int, *, secure: bool) -> str:
    """Return the URL under which a program on this machine reaches the gateway."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    bracketed = f"[{reachable}]" if ":" in reachable else reachable
    return f"{'wss' if secure else 'ws'}://{bracketed}:{port}"


def describe(url: str, keys: ThrowAwayKeys | None, *, version: str) -> str:
    """Return the greeting: where to connect, the made-up *keys* if there are any, and what to try."""
    http = url.replace("ws", "http", 1)
    lines = [
        f"plexwire {version} serves at {url}  (Ctrl-C ends it)",
        "",
        f"  page     {http}/",
        f"  viewers  {url}{_EXAMPLE.target()}",
        f"  devices  {url}{DEVICE_PATH}",
        f"  health   {http}/health",
        f"  metrics  {http}/metrics",
    ]
    if keys is not None:
        lines += ["", "Keys made up for this run; paste them into another terminal:", ""]
        lines += [f"  export {name}={value}" for name, value in keys.as_environment().items()]
    source, camera = _EXAMPLE.source_id, _EXAMPLE.cameras[0]
    lines += [
        "",
        *_steps(
            f"publish {url} --source-id {source} --camera {camera}",
            f"watch {url} --source-id {source} --camera {camera}",
            f"conform {url}",
        ),
    ]
    return "\n".join(lines)


#: What each command needs that this room does not.
_NEEDED: Final = {"publish": "markdown_it", "watch": "markdown_it", "conform": "hypothesis"}


def _steps(*commands: str) -> list[str]:
    """Return what to try next: those of *commands* that are installed, or how to install them."""
    installed = [each for each in commands if find_spec(_NEEDED[each.split()[0]]) is not None]
    if not installed:
        return ["pip install 'plexwire[all]' brings plexwire publish, watch and conform."]
    return ["Then try:", "", *(f"  plexwire {each}" for each in installed)]


def describe_edge(url: str, upstream: str, *, version: str) -> str:
    """Return the greeting of an edge of *upstream*: where viewers connect, and where devices do."""
    http = url.replace("ws", "http", 1)
    source, camera = _EXAMPLE.source_id, _EXAMPLE.cameras[0]
    return "\n".join(
        (
            f"plexwire {version} serves at {url}, an edge of {upstream}  (Ctrl-C ends it)",
            "",
            f"  page     {http}/",
            f"  viewers  {url}{_EXAMPLE.target()}",
            f"  devices  {upstream}{DEVICE_PATH}",
            f"  health   {http}/health",
            f"  metrics  {http}/metrics",
            "",
            "Keys are those of the upstream.",
            *_steps(
                f"publish {upstream} --source-id {source} --camera {camera}",
                f"watch {url} --source-id {source} --camera {camera}",
                f"conform {url} --device-url {upstream}",
            ),
        )
    )

"""How a gateway is reached: HTTP proxies, tunnels, client certificates."""

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
import trio
import trustme
from attrs import evolve
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization

from connect_proxy import ConnectProxy
from plexwire_conformance.commands.conform import conform
from plexwire_conformance.pytest_plugin.trio_thread import TrioThread
from plexwire_conformance.target.description import TargetDescription
from plexwire_conformance.target.target import BadTarget, Endpoint
from plexwire_server import Gateway, KeyStore, serve
from plexwire_trio import Proxy

KEY: Final = "plx_0123456789abcdef"
URL: Final = "wss://staging.example.com"


# ── proxies ──────────────────────────────────────────────────────────────────────────────────


def test_proxy_in_the_environment_is_wrong_its_variable_is_named() -> None:
    with pytest.raises(
        BadTarget, match=r"^HTTPS_PROXY: A proxy's address begins with http:// or https://"
    ):
        TargetDescription(url=URL).target(
            {"PLEXWIRE_API_KEY": KEY, "HTTPS_PROXY": "socks5://u:secret@x"}
        )
    assert TargetDescription(url=URL, proxy="none").target(
        {"PLEXWIRE_API_KEY": KEY, "HTTPS_PROXY": "?"}
    )


async def start_gateway(nursery: trio.Nursery, tls: ssl.SSLContext | None = None) -> int:
    async def start(*, task_status: trio.TaskStatus[list[tuple[str, int]]]) -> None:
        await serve(Gateway(KeyStore()), ssl_context=tls, task_status=task_status)

    addresses = await nursery.start(start)
    return int(addresses[0][1])


async def ask(endpoint: Endpoint, *, narrow: bool = False) -> bytes:
    """Ask for /health, and return the status line of the answer."""
    with trio.fail_after(5):
        stream = await endpoint.dial(narrow)
        async with stream:
            await stream.send_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while b"\r\n" not in answer:
                answer += bytes(await stream.receive_some())
    return answer.partition(b"\r\n")[0]


async def in_nursery(body: Callable[[trio.Nursery], Awaitable[None]]) -> None:
    async with trio.open_nursery() as nursery:
        await body(nursery)
        nursery.cancel_scope.cancel()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
    return context


@pytest.mark.parametrize("narrow", [False, True])
async def test_tunnel_leads_to_a_gateway_with_and_without_tls(
    authority: trustme.CA, narrow: bool
) -> None:
    async def body(nursery: trio.Nursery) -> None:
        proxy = ConnectProxy()
        place = await proxy.start(nursery)
        plain = await start_gateway(nursery)
        secure = await start_gateway(nursery, server_side(authority))
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        through = Proxy.parse(f"http://us%40er:secret@{place}")
        for url in (f"ws://127.0.0.1:{plain}", f"wss://127.0.0.1:{secure}"):
            endpoint = Endpoint.of_url(url, ssl_context=trusting, proxy=through)
            assert await ask(endpoint, narrow=narrow) == b"HTTP/1.1 200 OK"
        assert proxy.tunnels == 2
        assert proxy.asked[0].startswith(f"CONNECT 127.0.0.1:{plain} HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic dXNAZXI6c2VjcmV0\r\n" in proxy.asked[0]

    await in_nursery(body)


async def test_tunnel_through_a_proxy_that_speaks_tls_itself(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    async def body(nursery: trio.Nursery) -> None:
        proxy = ConnectProxy()
        place = await proxy.start(nursery, server_side(authority))
        secure = await start_gateway(nursery, server_side(authority))
        endpoint = Endpoint.of_url(
            f"wss://127.0.0.1:{secure}", proxy=Proxy.parse(f"https://{place}")
        )
        assert await ask(endpoint) == b"HTTP/1.1 200 OK"
        assert proxy.tunnels == 1

    await in_nursery(body)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "answered CONNECT x.test:443 with HTTP 403 Forbidden"),
        (b"HTTP/1.1 407 Login\r\n\r\n", "HTTP 407 Login. It wants a login: put "),
        (b"", "gave no answer to CONNECT x.test:443: it hung up"),
        (b"SSH-2.0-x\r\n\r\n", "gave no answer to CONNECT x.test:443: "),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "sent more than its answer to CONNECT"),
    ],
)
async def test_tunnel_is_not_made_error_says_what_the_proxy_said(answer: bytes, said: str) -> None:
    async def body(nursery: trio.Nursery) -> None:
        place = await ConnectProxy(answer).start(nursery)
        endpoint = Endpoint.of_url("wss://x.test", proxy=Proxy.parse(place))
        with pytest.raises(OSError, match=said) as caught, trio.fail_after(5):
            await endpoint.dial(False)
        assert place in str(caught.value)

    await in_nursery(body)


async def test_proxy_is_not_there_error_names_it() -> None:
    endpoint = Endpoint.of_url("wss://x.test", proxy=Proxy(host="127.0.0.1", port=1))
    with pytest.raises(OSError, match=r"The proxy 127\.0\.0\.1:1 can't be reached: "):
        await endpoint.dial(False)


# ── certificates ─────────────────────────────────────────────────────────────────────────────


async def test_gateway_wants_a_client_certificate_it_is_shown(
    authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    own = authority.issue_cert("judge@example.com")
    own.private_key_pem.write_to_path(str(tmp_path / "client.key"))
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "client.pem"))
    own.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    context = server_side(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    environment = {"PLEXWIRE_API_KEY": KEY}

    async def body(nursery: trio.Nursery) -> None:
        port = await start_gateway(nursery, context)
        description = TargetDescription(url=f"wss://127.0.0.1:{port}", ca=tmp_path / "ca.pem")
        shown = evolve(
            description, client_cert=tmp_path / "client.pem", client_key=tmp_path / "client.key"
        )
        for known in (shown, evolve(description, client_cert=tmp_path / "both.pem")):
            target = known.target(environment)
            assert target is not None
            assert await ask(target.viewers) == b"HTTP/1.1 200 OK"
        stranger = description.target(environment)
        assert stranger is not None
        with pytest.raises(trio.BrokenResourceError):
            await ask(stranger.viewers)

    await in_nursery(body)


@pytest.mark.parametrize(
    ("description", "said"),
    [
        (TargetDescription(client_key=Path("k")), "a client key goes with a client certificate"),
        (
            TargetDescription(ca=Path("nix.pem")),
            "can't use nix.pem as a certificate authority: No such file",
        ),
        (
            TargetDescription(client_cert=Path("nix.pem")),
            "can't use nix.pem as a client certificate: No such file",
        ),
        (TargetDescription(client_cert=Path(__file__)), "test_proxy.py as a client certificate: "),
        (TargetDescription(device_url="nix"), "'nix' must begin with ws:// or wss://"),
    ],
)
def test_target_has_unusable_parts_error_names_them(
    description: TargetDescription, said: str
) -> None:
    with pytest.raises(BadTarget, match=said) as caught:
        evolve(description, url=URL).target({"PLEXWIRE_API_KEY": KEY})
    assert "\n" not in str(caught.value)


def test_target_has_an_encrypted_client_key_nobody_is_asked_for_a_password(tmp_path: Path) -> None:
    own = trustme.CA().issue_cert("judge@example.com")
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "client.pem"))
    key = serialization.load_pem_private_key(own.private_key_pem.bytes(), password=None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"nobody knows"),
    )
    (tmp_path / "client.key").write_bytes(encrypted)
    description = TargetDescription(
        url=URL,
        client_cert=tmp_path / "client.pem",
        client_key=tmp_path / "client.key",
    )
    with pytest.raises(BadTarget, match="as a client certificate: the key is encrypted"):
        description.target({"PLEXWIRE_API_KEY": KEY})


# ── the command ──────────────────────────────────────────────────────────────────────────────


def test_conform_is_given_a_name_headers_and_a_proxy_it_judges_that_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, keys = KeyStore.throw_away()
    proxy = ConnectProxy()
    with TrioThread() as thread:

        async def begin() -> tuple[str, int]:
            place = await proxy.start(thread.nursery)
            return place, int((await thread.nursery.start(serve, Gateway(store)))[0][1])

        place, port = thread.call(begin)
        (tmp_path / "plexwire.toml").write_text(
            f'[targets.staging]\nurl = "ws://127.0.0.1:{port}"\napi_key_env = "STAGING_KEY"\n'
            f'proxy = "http://{place}"\nonly = ["conn.close-answered"]\nmax_connections = 8\n',
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("STAGING_KEY", keys.api_key)
        arguments = ["staging", "--header", "X-Stage: blue"]
        judged = CliRunner().invoke(conform, arguments)
        assert (judged.exit_code, proxy.tunnels > 3) == (0, True), judged.output
        assert proxy.sent.count(b"GET /") == proxy.sent.count(b"X-Stage: blue\r\n") == proxy.tunnels
        before = proxy.tunnels
        direct = CliRunner().invoke(
            conform, [*arguments, "--proxy", "none", "--only", "init.at-once"]
        )
        assert (direct.exit_code, proxy.tunnels) == (0, before), direct.output
        assert "init.at-once" in direct.output

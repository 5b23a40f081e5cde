"""Targets that have a name: what their file may say, and what `plexwire conform` makes of it."""

from pathlib import Path
from typing import Final

import pytest
from attrs import evolve
from click.testing import CliRunner

from plexwire_conformance.commands.config_file import find_config, resolve
from plexwire_conformance.commands.conform import conform
from plexwire_conformance.recording.jsonlines import BadFile
from plexwire_conformance.recording.redaction import redact
from plexwire_conformance.target.description import TargetDescription, looks_like_a_key
from plexwire_conformance.target.target import BadTarget, Keys

KEY: Final = "plx_0123456789abcdef"
URL: Final = "wss://staging.example.com"


def write(folder: Path, text: str, name: str = "plexwire.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def staging(members: str = "") -> str:
    return f'[targets.staging]\nurl = "{URL}"\n{members}\n'


# ── files ────────────────────────────────────────────────────────────────────────────────────


def test_config_is_given_a_url_it_stands(tmp_path: Path) -> None:
    given = TargetDescription(source_id="mine")
    assert resolve(URL, given, tmp_path) == evolve(given, url=URL)
    assert resolve(None, given, tmp_path) == given


def test_config_names_everything_a_target_can_have(tmp_path: Path) -> None:
    for name in ("keys.env", "ca.pem", "client.pem", "client.key"):
        write(tmp_path, "", name)
    members = """
        device_url = "wss://devices.example.com"
        source_id = "conformance-01"
        keys_file = "keys.env"
        ca = "ca.pem"
        client_cert = "client.pem"
        client_key = "client.key"
        headers = { X-Stage = "blue", X-Token = { env = "TOKEN" } }
        proxy = "http://proxy:3128"
        max_connections = 32
        only = ["auth", "PW-INIT-1"]
        skip = ["auth.never"]
        expected_failures = "known.toml"
    """
    write(tmp_path, staging(members))
    assert resolve("staging", TargetDescription(), tmp_path) == TargetDescription(
        url=URL,
        device_url="wss://devices.example.com",
        source_id="conformance-01",
        keys_file=tmp_path / "keys.env",
        ca=tmp_path / "ca.pem",
        client_cert=tmp_path / "client.pem",
        client_key=tmp_path / "client.key",
        headers={"X-Stage": "blue"},
        header_variables={"X-Token": "TOKEN"},
        proxy="http://proxy:3128",
        max_connections=32,
        only=("auth", "PW-INIT-1"),
        skip=("auth.never",),
        expected_failures=tmp_path / "known.toml",
    )


def test_config_stands_in_the_project_file_or_above_the_nearest_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    write(tmp_path, staging().replace("[", "[tool.plexwire."), "pyproject.toml")
    write(inner, "[project]\nname = 'other'\n", "pyproject.toml")
    assert resolve("staging", TargetDescription(), inner).url == URL
    write(inner, staging().replace("staging.", "nearer."))
    assert resolve("staging", TargetDescription(), inner).url == "wss://nearer.example.com"


def test_config_stands_twice_in_a_folder_it_is_refused(tmp_path: Path) -> None:
    write(tmp_path, staging())
    write(tmp_path, staging().replace("[", "[tool.plexwire."), "pyproject.toml")
    with pytest.raises(BadFile, match=r"plexwire.toml and pyproject.toml both have targets"):
        find_config(tmp_path)


def test_options_stand_above_the_file_headers_by_their_names(tmp_path: Path) -> None:
    write(
        tmp_path,
        staging(
            'api_key_env = "KEY"\nonly = ["auth"]\nskip = ["init"]\n'
            'headers = { X-A = "1", X-B = "2", X-C = { env = "C" } }'
        ),
    )
    keys = tmp_path / "keys.env"
    given = TargetDescription(
        only=("conn",), keys_file=keys, headers={"x-a": "9", "x-c": "8"}, proxy="none"
    )
    description = resolve("staging", given, tmp_path)
    assert (description.only, description.skip, description.proxy) == (("conn",), ("init",), "none")
    assert (description.keys_file, description.key_variables) == (keys, {})
    assert (description.headers, description.header_variables) == (
        {"X-B": "2", "x-a": "9", "x-c": "8"},
        {},
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[targets.staging", "plexwire.toml is no TOML: *"),
        ("target = 1", "plexwire.toml, target is unknown; there are [targets.NAME] tables alone"),
        ("targets = 1", "plexwire.toml: write each target as a table, [targets.NAME]"),
        ("[targets]\nstaging = 1", "plexwire.toml: write each target as a table, [targets.NAME]"),
        ("[targets.live]\nurl = 'ws://x'", "plexwire.toml has no target 'staging'; it has live"),
        ("", "plexwire.toml has no target 'staging'; it has none"),
        ("[targets.staging]", "{} has no url"),
        (
            "[targets.staging]\nurl = 'http://x'",
            "{}.url: 'http://x' must begin with ws:// or wss://; write ws:// instead of http://",
        ),
        ("[targets.staging]\nurl = 7", "{}.url must be a string"),
        (staging("device_url = 'ws://'"), "{}.device_url: 'ws://' names no host; *"),
        (staging("device-url = 'ws://x'"), "{}.device-url is unknown; did you mean device_url?"),
        (staging("wrong = 1"), "{}.wrong is unknown; there are url, *"),
        (
            staging("api_key = 'secret'"),
            "{}.api_key: a key never stands in the file; *api_key_env*",
        ),
        (
            staging("api_key_env = 'A B'"),
            "{}.api_key_env must be the name of an environment variable",
        ),
        (staging("api_key_env = ''"), "{}.api_key_env must be a string"),
        (staging("foreign_key_env = 'F'"), "{} has no api_key_env, and that key is needed"),
        (staging("ca = 'nix.pem'"), "{}.ca names *nix.pem, and there is no such file"),
        (staging("only = 'auth'"), "{}.only must be a list of strings"),
        (staging("skip = [1]"), "{}.skip must be a list of strings"),
        (staging("skip = ['conn', 'nix']"), "{}.skip: 'nix' matches no case; *"),
        (
            staging("max_connections = 7"),
            "{}.max_connections must be a whole number from 8 to 1000",
        ),
        (staging("max_connections = true"), "{}.max_connections must be a whole number *"),
        (staging("headers = 'X: y'"), "{}.headers must be a table"),
        (staging("headers = { X = 1 }"), "{}.headers.X must be a string, or { env = *"),
        (staging("headers = { 'X Y' = '1' }"), "{}.headers.X Y: 'X Y' is no name of a header"),
        (staging("headers = { Host = 'x' }"), "{}.headers.Host: the header Host belongs to *"),
        (
            staging('headers = { X = "a\\r\\nB: c" }'),
            "{}.headers.X: the value of the header X has *",
        ),
        (
            staging("proxy = 'socks5://x'"),
            "{}.proxy: A proxy's address begins with http:// or https://, *",
        ),
        (
            staging("proxy = 'http://u:p@x'"),
            "{}.proxy: The proxy's address holds a login. Put it into HTTPS_PROXY *",
        ),
    ],
)
def test_config_is_wrong_one_line_names_file_and_member(
    tmp_path: Path, text: str, message: str
) -> None:
    write(tmp_path, text)
    with pytest.raises(BadFile) as caught:
        resolve("staging", TargetDescription(), tmp_path)
    said = str(caught.value)
    assert "\n" not in said
    _assert_like(said, message.replace("{}", "plexwire.toml, targets.staging", 1))


def _assert_like(said: str, pattern: str) -> None:
    pieces = pattern.split("*")
    assert said.startswith(pieces[0])
    assert said.endswith(pieces[-1])
    assert all(piece in said for piece in pieces), said


def test_config_of_the_project_file_is_wrong_the_whole_table_is_named(tmp_path: Path) -> None:
    write(tmp_path, "[tool.plexwire.targets.staging]\nurl = 1", "pyproject.toml")
    with pytest.raises(
        BadFile, match=r"^pyproject.toml, tool.plexwire.targets.staging.url must be"
    ):
        resolve("staging", TargetDescription(), tmp_path)


@pytest.mark.parametrize(
    "members",
    [
        f"api_key_env = '{KEY}'",
        f"headers = {{ Authorization = 'Bearer {KEY}' }}",
        f"headers = {{ {KEY} = 'x' }}",
        f"only = ['auth', '{KEY.upper()}']",
        f"device_url = 'wss://x/{KEY}'",
    ],
)
def test_config_holds_a_key_it_is_refused_without_repeating_it(
    tmp_path: Path, members: str
) -> None:
    write(tmp_path, staging(members))
    with pytest.raises(BadFile, match=r"holds a key") as caught:
        resolve("staging", TargetDescription(), tmp_path)
    assert not looks_like_a_key(str(caught.value))


def test_config_is_missing_message_says_how_a_url_looks(tmp_path: Path) -> None:
    with pytest.raises(
        BadFile, match=r"'staging' is no URL, and no target: there is no plexwire\.toml"
    ):
        resolve("staging", TargetDescription(), tmp_path)
    with pytest.raises(BadFile, match=r"wss://gateway\.example\.com$"):
        resolve("gateway.example.com", TargetDescription(), tmp_path)


# ── keys and secrets ─────────────────────────────────────────────────────────────────────────


def test_target_takes_keys_from_the_named_variables_and_from_no_others(tmp_path: Path) -> None:
    write(tmp_path, staging('api_key_env = "A"\nrevoked_key_env = "R"'))
    description = resolve("staging", TargetDescription(), tmp_path)
    environment = {"A": "one", "R": "two", "PLEXWIRE_FOREIGN_KEY": "of another gateway"}
    assert description.keys(environment) == Keys(api_key="one", revoked_key="two")
    with pytest.raises(BadTarget, match="the environment has no R"):
        description.keys({"A": "one", "R": ""})
    assert TargetDescription(url=URL).keys({"PLEXWIRE_API_KEY": "k"}) == Keys(api_key="k")


def test_target_has_secret_headers_they_go_along_and_never_show() -> None:
    description = TargetDescription(
        url=URL, headers={"X-A": "1"}, header_variables={"X-Token": "TOKEN"}
    )
    with pytest.raises(BadTarget, match="header X-Token: the environment has no TOKEN"):
        description.target({"PLEXWIRE_API_KEY": KEY})
    proxied = {"HTTPS_PROXY": "http://user:pass%2Fword@proxy:3128"}
    target = description.target({"PLEXWIRE_API_KEY": KEY, "TOKEN": "very secret", **proxied})
    assert target is not None
    assert target.headers == (("X-A", "1"), ("X-Token", "very secret"))
    assert {"very secret", "pass/word", KEY} <= set(target.keys.secrets)
    for secret in ("very secret", "pass/word", KEY):
        assert secret not in repr(target)
        assert secret not in redact(f"said: {secret}", target.keys.secrets)


# ── the command ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["nix"], 2, "Error: plexwire.toml has no target 'nix'; it has staging"),
        (["staging"], 2, "Error: no key: the environment has no STAGING_KEY"),
        (["staging", "--only", "nix"], 3, "Error: 'nix' matches no case"),
        (["ws://x", "--header", "nix"], 2, "Error: --header goes as 'Name: value'"),
        (["ws://x", "--header", f"X: {KEY}"], 2, "Error: --header X holds a key, "),
        (["ws://x", "--header", "Upgrade: no"], 2, "Error: the header Upgrade belongs to "),
        (
            ["ws://x", "--proxy", "http://u:p@x"],
            2,
            "Error: The proxy's address holds a login. Put it into HTTPS_PROXY",
        ),
        (["--proxy", "socks5://x"], 2, "Error: A proxy's address begins with http:// or https://"),
    ],
)
def test_conform_is_called_wrongly_one_line_says_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    exit_code: int,
    said: str,
) -> None:
    write(tmp_path, staging('api_key_env = "STAGING_KEY"'))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STAGING_KEY", raising=False)
    result = CliRunner().invoke(conform, arguments)
    assert result.exit_code == exit_code
    assert result.output.startswith(said)
    assert result.output.count("\n") == 1
    assert KEY not in result.output


def test_conform_lists_the_cases_of_a_named_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, staging('only = ["conn.ping"]'))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(conform, ["staging", "--list"])
    assert result.exit_code == 0
    assert result.output.startswith("conn.ping ")
    assert result.output.count("\n") == 2

"""Keys: what a store says of them, what its file may hold, and that no key is ever kept or shown."""

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from plexwire_protocol import CloseCode
from plexwire_server import KeyFileError, KeyGranted, KeyRecord, KeyRefused, KeyStore, Scope
from plexwire_server.cli import keys as keys_command
from plexwire_server.keys._key_store import digest_of, draw_key

UNAUTHORIZED = KeyRefused(CloseCode.UNAUTHORIZED)


def test_throw_away_keys_get_every_answer_there_is() -> None:
    store, keys = KeyStore.throw_away()
    assert store.check(keys.api_key) == KeyGranted("throw-away", frozenset(Scope), "viewer")
    assert store.check(keys.device_key) == KeyGranted(
        "throw-away", frozenset({Scope.WRITE}), "device"
    )
    foreign = store.check(keys.foreign_key)
    assert isinstance(foreign, KeyGranted)
    assert foreign.organisation != "throw-away"
    assert store.check(keys.no_access_key) == KeyRefused(CloseCode.NO_API_ACCESS)
    assert store.check(keys.revoked_key) == UNAUTHORIZED
    assert store.check(keys.other_key) == KeyGranted("throw-away", frozenset(Scope), "other")
    assert store.check(keys.read_key) == KeyGranted("throw-away", frozenset({Scope.READ}), "reader")
    values = set(keys.as_environment().values())
    assert len(values) == 7
    assert all(value.startswith("plx_") for value in values)


def test_keys_do_not_show_where_they_are_kept() -> None:
    store, keys = KeyStore.throw_away()
    shown = f"{keys!r} {keys} {store!r} {store.records!r}"
    for key in keys.as_environment().values():
        assert key not in shown
        assert digest_of(key).hex() not in shown


@given(st.text())
def test_key_that_is_not_in_the_store_is_refused(api_key: str) -> None:
    store, _ = KeyStore.throw_away()
    assert store.check(api_key) == UNAUTHORIZED


@given(st.data())
def test_key_that_is_nearly_right_is_refused(data: st.DataObject) -> None:
    store, keys = KeyStore.throw_away()
    at = data.draw(st.integers(0, len(keys.api_key) - 1))
    cut = keys.api_key[:at]
    for wrong in (cut, keys.api_key + " ", cut + "~" + keys.api_key[at + 1 :]):
        assert store.check(wrong) == UNAUTHORIZED


# ── the file ─────────────────────────────────────────────────────────────────────────────────

GOOD = f"""
[[key]]
name = "dashboard"
organisation = "acme"
sha256 = "{digest_of("plx_one").hex()}"
scopes = ["read"]

[[key]]
name = "old"
organisation = "acme"
sha256 = "{digest_of("plx_two").hex()}"
revoked = true

[[key]]
name = "trial"
organisation = "other"
sha256 = "{digest_of("plx_three").hex()}"
api_access = false
"""


def test_store_reads_its_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(GOOD)
    store = KeyStore.read(path)
    assert store.check("plx_one") == KeyGranted("acme", frozenset({Scope.READ}), "dashboard")
    assert store.check("plx_two") == UNAUTHORIZED
    assert store.check("plx_three") == KeyRefused(CloseCode.NO_API_ACCESS)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[[key]]", "[[key", "is not TOML: .*line 2"),
        ("[[key]]", "other = 1\n[[key]]", "must hold .* nothing else"),
        ('name = "dashboard"', "", "key 1: name is missing"),
        ('name = "dashboard"', "name = 5", "key 1: name must be a string"),
        ('name = "dashboard"', 'name = "old"', "key 2: the name 'old' is taken"),
        ('organisation = "other"', 'organisation = "a b"', "key 3: organisation must be"),
        ('sha256 = "', 'sha256 = "0', "key 1: sha256 must be 64 digits"),
        ('["read"]', '["root"]', "key 1: scopes must be a list of read, write"),
        ('["read"]', '[["read"]]', "key 1: scopes must be"),
        ('["read"]', '"read"', "key 1: scopes must be"),
        ("revoked = true", "revoked = 1", "key 2: revoked must be true or false"),
        ("revoked = true", "revokd = true", "key 2: 'revokd' is not a member of a key"),
    ],
)
def test_broken_file_is_told_of_in_one_line(
    old: str, new: str, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(KeyFileError, match=problem) as caught:
        KeyStore.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_file_that_can_not_be_read_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="no such file"):
        KeyStore.read(tmp_path / "keys.toml")
    with pytest.raises(KeyFileError, match="directory"):
        KeyStore.read(tmp_path)
    (tmp_path / "x").write_bytes(b"\xff")
    with pytest.raises(KeyFileError, match="UTF-8"):
        KeyStore.read(tmp_path / "x")


def test_record_refuses_a_name_that_a_file_can_not_hold() -> None:
    with pytest.raises(ValueError, match="name must be"):
        KeyRecord(name='x"', organisation="a", digest=b"")


# ── plexwire keys ────────────────────────────────────────────────────────────────────────────


def test_keys_add_makes_a_file_that_the_store_reads(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    common = ["add", "--file", str(path), "--organisation", "acme", "--name"]
    run = CliRunner().invoke
    first = run(keys_command, [*common, "robot", "--scope", "write"])
    second = run(keys_command, [*common, "trial", "--no-api-access"])
    assert (first.exit_code, second.exit_code) == (0, 0)
    store = KeyStore.read(path)
    key = first.stdout.strip()
    assert store.check(key) == KeyGranted("acme", frozenset({Scope.WRITE}), "robot")
    assert store.check(second.stdout.strip()) == KeyRefused(CloseCode.NO_API_ACCESS)
    assert key not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    again = run(keys_command, [*common, "robot"])
    assert again.exit_code == 1
    assert "the name 'robot' is taken" in again.stderr
    odd = run(keys_command, [*common, "r b"])
    assert odd.exit_code == 2
    assert "name must be" in odd.stderr
    listed = run(keys_command, ["list", "--file", str(path)]).stdout
    assert listed.splitlines() == ["robot  acme  write", "trial  acme  read+write  no API access"]


def test_keys_list_says_when_there_is_no_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(keys_command, ["list", "--file", str(tmp_path / "none.toml")])
    assert result.exit_code == 1
    assert "no such file" in result.stderr


def test_keys_add_says_in_one_line_why_it_can_not_look_at_the_file(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)  # as a folder that may not be entered, which root may
    names = ["--organisation", "acme", "--name", "robot"]
    result = CliRunner().invoke(keys_command, ["add", "--file", str(path), *names])
    assert (result.exit_code, result.stderr) == (1, f"Error: {path}: File name too long\n")
    assert result.stdout == ""


def test_drawn_keys_are_long_and_never_the_same() -> None:
    drawn = {draw_key() for _ in range(100)}
    assert len(drawn) == 100
    assert min(map(len, drawn)) >= 40

"""pytest's messages name pytest's options."""

import pytest

from plexwire_conformance.pytest_plugin.option_names import in_pytest

pytest_plugins = ["pytester"]


@pytest.mark.parametrize(
    ("said", "renamed"),
    [
        ("give --keys-file with a line", "give --plexwire-keys-file with a line"),
        (
            "--device-url, --keys-file and --live",
            "--plexwire-device-url, --plexwire-keys-file and --plexwire-live",
        ),
        ("by --ca FILE", "by `ca` of a target in plexwire.toml (--plexwire-target) FILE"),
        (
            "--max-connections 8",
            "`max_connections` of a target in plexwire.toml (--plexwire-target) 8",
        ),
        ("see plexwire conform --list", "see plexwire conform --list"),
        ("--plexwire-url", "--plexwire-url"),
        ("a--live", "a--live"),
    ],
)
def test_option_is_named_as_in_pytest(said: str, renamed: str) -> None:
    assert in_pytest(said) == renamed


def test_pytest_lacks_a_key_and_names_its_own_option(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLEXWIRE_API_KEY", raising=False)
    result = pytester.runpytest_subprocess("--plexwire-url=ws://127.0.0.1:1", "plexwire")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = result.stderr.str()
    assert "--plexwire-keys-file" in said
    assert " --keys-file" not in said

"""The pytest plugin: every case as an item, and fixtures for those who test their own gateway.

    pytest --plexwire-url=ws://127.0.0.1:8700
    pytest --plexwire-viewer='python my_viewer.py'

pytest imports this module in every session, so nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from plexwire_conformance.pytest_plugin.option_names import in_pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plexwire_conformance.pytest_plugin.peers import OpenPublisher as OpenPublisher
    from plexwire_conformance.pytest_plugin.peers import OpenViewer as OpenViewer
    from plexwire_conformance.pytest_plugin.peers import SyncPublisher as SyncPublisher
    from plexwire_conformance.pytest_plugin.peers import SyncViewer as SyncViewer
    from plexwire_conformance.pytest_plugin.trio_thread import TrioThread
    from plexwire_conformance.pytest_plugin.verdicts import Verdicts as Verdicts
    from plexwire_conformance.target.description import TargetDescription
    from plexwire_conformance.target.target import Keys, Target

#: What the node ids of all cases begin with.
ROOT: Final = "plexwire"


class ConformanceWarning(pytest.PytestWarning):
    """A gateway does otherwise than a SHOULD says."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all of them together."""
    group = parser.getgroup("plexwire", "judge a gateway of live video")
    group.addoption(
        "--plexwire-url",
        metavar="URL",
        help="Judge the gateway at this base URL: every case becomes a test, plexwire::CASE.",
    )
    for role in ("viewer", "device"):
        group.addoption(
            f"--plexwire-{role}",
            metavar="COMMAND",
            help=f"Judge the {role} that this command starts; see plexwire conform-{role} --help.",
        )
    group.addoption(
        "--plexwire-target",
        metavar="NAME",
        help="Judge this target of plexwire.toml, or of [tool.plexwire] in pyproject.toml.",
    )
    group.addoption(
        "--plexwire-device-url", metavar="URL", help="Where devices connect, if elsewhere."
    )
    group.addoption(
        "--plexwire-source-id", metavar="ID", help="What the ids of all made-up sources begin with."
    )
    group.addoption(
        "--plexwire-live",
        metavar="SOURCE/CAMERA",
        help="A camera that runs there and may be watched; without a device's key nothing is published then.",
    )
    group.addoption(
        "--plexwire-keys-file",
        metavar="FILE",
        type=Path,
        help="Take the keys from here, lines NAME=value; else from PLEXWIRE_API_KEY and its like.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the run, where a gateway is given."""
    wanted = [arg for arg in config.args if _is_ours(arg, config.invocation_params.dir)]
    options = config.option
    programs = {
        role: command
        for role in ("viewer", "device")
        if (command := getattr(options, f"plexwire_{role}")) is not None
    }
    has_gateway = options.plexwire_url is not None or options.plexwire_target is not None
    if not has_gateway and not programs:
        if wanted:
            raise pytest.UsageError(
                f"{wanted[0]} needs a gateway: give --plexwire-url or --plexwire-target"
            )
        return
    if has_gateway + len(programs) > 1:
        raise pytest.UsageError(
            "plexwire judges one at a time: a gateway, a --plexwire-viewer or a --plexwire-device"
        )
    config.args[:] = [arg for arg in config.args if arg not in wanted]
    try:
        from plexwire_conformance.cases.selection import NothingSelected
        from plexwire_conformance.pytest_plugin.items import CasesPlugin
        from plexwire_conformance.pytest_plugin.runs import AnyRun, GatewayRun, ProgramRun
        from plexwire_conformance.recording.jsonlines import BadFile
        from plexwire_conformance.target.target import BadTarget
        from plexwire_spec import Party
    except ModuleNotFoundError as error:
        raise pytest.UsageError(
            f"judging a gateway needs {error.name}: pip install 'plexwire[conformance]'"
        ) from None
    try:
        words = [arg.partition("::")[2] for arg in wanted]
        words = [] if "" in words else words
        run: AnyRun
        if programs:
            ((role, command),) = programs.items()
            run = ProgramRun.of(Party(role), command, words)
        else:
            run = GatewayRun.at(_description(config), words)
    except (BadTarget, BadFile, NothingSelected) as error:
        raise pytest.UsageError(f"plexwire: {in_pytest(str(error))}") from None
    config.pluginmanager.register(CasesPlugin(run), "plexwire-cases")


def _is_ours(argument: str, folder: Path) -> bool:
    root, colons, _ = argument.partition("::")
    return root == ROOT and (bool(colons) or not (folder / argument).exists())


def _description(config: pytest.Config) -> TargetDescription:
    """Return what the options and the named target say.

    Raises:
        BadFile: something is wrong with the file that names are in.
    """
    from plexwire_conformance.commands.config_file import resolve
    from plexwire_conformance.target.description import TargetDescription

    options = config.option
    description = TargetDescription(
        url=options.plexwire_url,
        device_url=options.plexwire_device_url,
        source_id=options.plexwire_source_id,
        live=options.plexwire_live,
        keys_file=options.plexwire_keys_file,
    )
    if options.plexwire_target is None:
        return description
    return resolve(options.plexwire_target, description, config.rootpath)


# ── fixtures ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def plexwire_url(pytestconfig: pytest.Config) -> str:
    """The base URL of the gateway under test; override it, with scope="session", to start your own."""
    url = _description(pytestconfig).url
    if url is None:
        pytest.fail(
            'which gateway? Override the fixture plexwire_url (scope="session") in your conftest.py, '
            "or give --plexwire-url",
            pytrace=False,
        )
    return url


@pytest.fixture(scope="session")
def plexwire_keys(pytestconfig: pytest.Config) -> Keys | Mapping[str, str] | str:
    """The keys of the gateway under test; override it, with scope="session".

    Return one key that may watch and publish, or a mapping of api_key, device_key, foreign_key, no_access_key,
    revoked_key, other_key and read_key.
    """
    from plexwire_conformance.target.target import BadTarget

    try:
        return _description(pytestconfig).keys(os.environ)
    except BadTarget as error:
        pytest.fail(
            f'{in_pytest(str(error))}; or override the fixture plexwire_keys (scope="session")',
            pytrace=False,
        )


@pytest.fixture(scope="session")
def plexwire_target(
    pytestconfig: pytest.Config, plexwire_url: str, plexwire_keys: Keys | Mapping[str, str] | str
) -> Target:
    """The gateway under test, as the suite takes it."""
    from attrs import evolve

    from plexwire_conformance.target.target import BadTarget, Keys

    match plexwire_keys:
        case Keys():
            keys = plexwire_keys
        case str():
            keys = Keys(api_key=plexwire_keys)
        case _:
            keys = Keys.of(plexwire_keys)
    try:
        target = evolve(_description(pytestconfig), url=plexwire_url).target(os.environ, keys)
    except BadTarget as error:
        pytest.fail(in_pytest(str(error)), pytrace=False)
    if target is None:
        pytest.fail("plexwire_url returned None", pytrace=False)
    return target


@pytest.fixture(scope="session")
def _plexwire_thread() -> Iterator[TrioThread]:
    from plexwire_conformance.pytest_plugin.trio_thread import TrioThread

    with TrioThread() as thread:
        yield thread


@pytest.fixture
def plexwire_publisher(
    plexwire_target: Target, _plexwire_thread: TrioThread
) -> Iterator[OpenPublisher]:
    """Publishers, opened by calling it and closed at the end of the test.

    publisher = plexwire_publisher("robot-01")
    sent = publisher.publish("front", jpeg)
    """
    from plexwire_conformance.pytest_plugin.peers import OpenPublisher

    with OpenPublisher(plexwire_target, _plexwire_thread) as opener:
        yield opener


@pytest.fixture
def plexwire_viewer(plexwire_target: Target, _plexwire_thread: TrioThread) -> Iterator[OpenViewer]:
    """Viewers, opened by calling it and closed at the end of the test.

    viewer = plexwire_viewer("robot-01", "front")
    frame = viewer.next_frame(timeout=2)
    """
    from plexwire_conformance.pytest_plugin.peers import OpenViewer

    with OpenViewer(plexwire_target, _plexwire_thread) as opener:
        yield opener


@pytest.fixture(scope="session")
def plexwire_verdicts(plexwire_target: Target, _plexwire_thread: TrioThread) -> Verdicts:
    """The suite's verdicts on the gateway under test: `plexwire_verdicts.assert_conformant()`."""
    from plexwire_conformance.pytest_plugin.verdicts import Verdicts

    return Verdicts(plexwire_target, _plexwire_thread)

"""The command `plexwire`: a group that loads each room's commands only when they are called."""

import os
import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Final

from plexwire_conformance.commands.standard_streams import write_any_text

try:
    import click
except ModuleNotFoundError:  # The base install has only the core.
    if sys.argv[1:] == ["--version"]:
        print(f"plexwire, version {version('plexwire')}")
        raise SystemExit(0) from None
    print(
        "The command line needs an extra: pip install 'plexwire[conformance]' (or [server], [tools])",
        file=sys.stderr,
    )
    raise SystemExit(2) from None

#: Where each command lives, what it needs, and what --help says of it.
_COMMANDS: Final = {
    "conform": (
        "plexwire_conformance.commands.conform:conform",
        "conformance",
        "Judge a gateway, clause by clause.",
    ),
    "conform-viewer": (
        "plexwire_conformance.commands.conform_program:conform_viewer",
        "conformance",
        "Judge a viewer, clause by clause.",
    ),
    "conform-device": (
        "plexwire_conformance.commands.conform_program:conform_device",
        "conformance",
        "Judge a device, clause by clause.",
    ),
    "replay": (
        "plexwire_conformance.commands.replay:replay",
        "conformance",
        "Play again what failed, on any gateway.",
    ),
    "diff": (
        "plexwire_conformance.commands.diff:diff",
        "conformance",
        "Compare stored runs: what broke, what was fixed.",
    ),
    "judge": (
        "plexwire_conformance.commands.judge:judge",
        "conformance",
        "Judge stored conversations, HAR and pcap, offline.",
    ),
    "tap": (
        "plexwire_conformance.commands.tap:tap",
        "conformance",
        "Judge what passes between real peers and a gateway.",
    ),
    "monitor": (
        "plexwire_conformance.commands.monitor:monitor",
        "conformance",
        "Watch production for hours, and judge what comes.",
    ),
    "selftest": (
        "plexwire_conformance.commands.selftest:selftest",
        "conformance",
        "Put the judge on trial: does it find what is broken?",
    ),
    "serve": ("plexwire_server.cli:serve", "server", "Run the reference gateway."),
    "keys": ("plexwire_server.cli:keys", "server", "Make keys for the reference gateway."),
    "watch": (
        "plexwire_client.commands.watch:watch",
        "tools",
        "Watch cameras from the terminal.",
    ),
    "publish": (
        "plexwire_client.commands.publish:publish",
        "tools",
        "Publish pictures as a device.",
    ),
    "spec": ("plexwire_spec.cli:spec", "tools", "Read the specification."),
}


#: A module of each extra that no smaller one has.
_MARKS: Final = {"conformance": "hypothesis", "server": "prometheus_client", "tools": "markdown_it"}

_FIRST_STEPS: Final = (
    "plexwire serve",
    "plexwire publish ws://127.0.0.1:8700 --source-id robot-01 --camera front",
    "plexwire watch ws://127.0.0.1:8700 --source-id robot-01 --camera front",
    "plexwire conform ws://127.0.0.1:8700",
)


def _is_installed(command: str) -> bool:
    _, extra, _ = _COMMANDS[command]
    return find_spec(_MARKS[extra]) is not None


class _MissingExtra(click.ClickException):
    """A command can't run here: nothing was judged."""

    exit_code = 2


class _Rooms(click.Group):
    """Imports a command's room when it is asked for, and says which extra is missing."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line."""
        write_any_text()
        try:
            os.getcwd()
        except OSError:
            print("Error: the working folder was removed; change to another one", file=sys.stderr)
            raise SystemExit(2) from None
        return super().main(*arguments, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        place, extra, _ = _COMMANDS[cmd_name]
        module, _, name = place.partition(":")
        try:
            command = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            if error.name is not None and error.name.startswith("plexwire"):
                raise
            raise _MissingExtra(
                f"`plexwire {cmd_name}` needs {error.name}, which is not installed: "
                f"pip install 'plexwire[{extra}]'"
            ) from None
        if not isinstance(command, click.Command):
            raise TypeError(f"{place} is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, about if _is_installed(name) else f"{about}  [needs plexwire[{extra}]]")
                    for name, (_, extra, about) in _COMMANDS.items()
                ]
            )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section(
            "Begin with a gateway on your desk, and its keys in another terminal"
        ):
            for step in _FIRST_STEPS:
                if _is_installed(step.split()[1]):
                    formatter.write_text(step)


@click.command(cls=_Rooms, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="plexwire")
def main() -> None:
    """Judge, serve and speak the live-video relay protocol."""


if __name__ == "__main__":
    main()

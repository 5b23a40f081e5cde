"""The command `plexwire`: a group that loads each room's commands only when they are called."""

import sys
from importlib import import_module
from typing import Final

try:
    import click
except ModuleNotFoundError:  # pragma: no cover - the base install has the core alone
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
        "Judge stored conversations again, offline.",
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


class _MissingExtra(click.ClickException):
    """A command can't run here: nothing was judged."""

    exit_code = 2


class _Rooms(click.Group):
    """Imports a command's room when it is asked for, and says which extra is missing."""

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
            formatter.write_dl([(name, about) for name, (_, _, about) in _COMMANDS.items()])


@click.command(cls=_Rooms, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="plexwire")
def main() -> None:
    """Judge, serve and speak the live-video relay protocol.

    \b
    Begin with a gateway on your desk:
        plexwire serve
    and, as it says, in another terminal:
        plexwire publish ws://127.0.0.1:8700 --source-id robot-01 --camera front
        plexwire watch ws://127.0.0.1:8700 --source-id robot-01 --camera front
        plexwire conform ws://127.0.0.1:8700
    """


if __name__ == "__main__":
    main()

"""A command whose exit code is a verdict: whatever else happens has a code of its own."""

import sys
import traceback
from typing import Any, Final

import click

from plexwire_conformance.commands.standard_streams import outlive_readers

COULD_NOT_JUDGE: Final = 2


class JudgingCommand(click.Command):
    """Exits with 2 if it crashes, and with its verdict if nobody reads its output to the end."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        outlive_readers()
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            report_crash(error)
            raise SystemExit(COULD_NOT_JUDGE) from None


def report_crash(error: BaseException) -> None:
    """Print where the suite itself failed, and that this is no verdict."""
    traceback.print_exception(error, file=sys.stderr)
    said = "".join(traceback.format_exception_only(error)).strip().splitlines()[0]
    click.echo(f"Error: an error of plexwire itself, not a verdict: {said}", err=True)

"""`python -m plexwire_server serve`: this room's commands without the others."""

import click

from plexwire_server.cli import keys, serve

commands = click.Group(commands={"serve": serve, "keys": keys})

if __name__ == "__main__":
    commands(prog_name="plexwire")

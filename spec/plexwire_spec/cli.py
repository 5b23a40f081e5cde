"""`plexwire spec`: list the clauses, show one, export the specification, show what the suite covers.

It needs click, which comes with every extra.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import TextIO, TypeVar

import click

from plexwire_spec._clauses import AREAS, Clause, Level, Party, clauses
from plexwire_spec._listing import list_clauses, list_coverage, show_clause
from plexwire_spec._text import specification_text

_T = TypeVar("_T")


class CannotDo(click.ClickException):
    """Something that the command needs is not there."""

    exit_code = 2


def _chosen(names: type[Level] | type[Party]) -> click.Choice[str]:
    return click.Choice([name.value for name in names], case_sensitive=False)


@click.command("spec")
@click.argument("clause", required=False)
@click.option("--level", multiple=True, type=_chosen(Level), help="Only clauses of this level.")
@click.option(
    "--role", multiple=True, type=_chosen(Party), help="Only clauses that bind this party."
)
@click.option(
    "--area",
    multiple=True,
    type=click.Choice(list(AREAS), case_sensitive=False),
    help="Only clauses of this area.",
)
@click.option("--untested", is_flag=True, help="Only clauses of the gateway that no case judges.")
@click.option("--coverage", is_flag=True, help="Show which cases judge each clause.")
@click.option(
    "--html",
    type=click.File("w", encoding="utf-8", lazy=False),
    metavar="FILE",
    help="Write the whole specification as one HTML page; - is the standard output.",
)
def spec(
    clause: str | None,
    level: Sequence[str],
    role: Sequence[str],
    area: Sequence[str],
    untested: bool,
    coverage: bool,
    html: TextIO | None,
) -> None:
    """List the clauses of the specification, or show one CLAUSE with its sources and cases."""
    if sum((clause is not None, untested, coverage, html is not None)) > 1:
        raise click.UsageError("Give a clause, --untested, --coverage or --html, not several.")
    width = min(shutil.get_terminal_size().columns, 120)
    if html is not None:
        html.write(_page())
        return
    if clause is not None:
        one = _find(clause)
        click.echo(show_clause(one, _judged_by(one), width))
        return
    found = [c for c in clauses().values() if _wanted(c, level, role, area)]
    if coverage:
        text, bare = list_coverage(found, _cases_by_clause(), width)
        click.echo(text)
        if bare:
            click.echo(f"Neither a case nor a reason: {', '.join(bare)}.", err=True)
            raise SystemExit(1)
        return
    if untested:
        cases = _cases_by_clause()
        found = [c for c in found if c.role is Party.GATEWAY and c.id not in cases]
    click.echo(list_clauses(found, width) if found else "No clause is like that.")


def _wanted(
    clause: Clause, levels: Sequence[str], roles: Sequence[str], areas: Sequence[str]
) -> bool:
    return (
        (not levels or clause.level.value in levels)
        and (not roles or clause.role.value in roles)
        and (not areas or clause.area in areas)
    )


def _find(name: str) -> Clause:
    known = clauses()
    wanted = name.strip("[]").upper()
    if wanted not in known:
        near = get_close_matches(wanted, known, n=3, cutoff=0.75)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `plexwire spec` lists them."
        raise CannotDo(f"There is no clause {name}{hint}")
    return known[wanted]


def _needing(extra: str, what: str, action: Callable[[], _T]) -> _T:
    try:
        return action()
    except ModuleNotFoundError as error:
        raise CannotDo(f"{what} needs {error.name}: pip install 'plexwire[{extra}]'") from None


def _page() -> str:
    render = _needing("tools", "The HTML page", lambda: import_module("plexwire_spec._page"))
    page: str = render.render_page(specification_text())
    return page


def _cases_by_clause() -> Mapping[str, Sequence[str]]:
    """Return the ids of the suite's cases by the clause that they judge."""
    # The suite stands above the specification, so it is asked for by name, and only here.
    cases = _needing(
        "conformance", "The list of cases", lambda: import_module("plexwire_conformance.cases")
    )
    judging: dict[str, list[str]] = {}
    for case in cases.CASES.values():
        for clause_id in case.clauses:
            judging.setdefault(clause_id, []).append(case.id)
    return judging


def _judged_by(clause: Clause) -> str:
    try:
        cases = _cases_by_clause().get(clause.id)
    except CannotDo as error:
        return error.message
    if cases:
        return ", ".join(cases)
    return "" if clause.untestable else "no case"

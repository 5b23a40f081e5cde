"""Reading TOML files that people write: unknown members and wrong types are refused in one sentence."""

from datetime import date, datetime
from typing import Any, TypeVar

from attrs import fields
from cattrs import Converter, transform_error
from cattrs.cols import is_sequence, list_structure_factory
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError
from cattrs.v import format_exception
from tomlkit import TOMLDocument, parse
from tomlkit.exceptions import ParseError

from plexwire_conformance.recording.jsonlines import BadFile

T = TypeVar("T")


def parse_toml(text: str, name: str) -> TOMLDocument:
    """Return the TOML in *text*, which messages call *name*, with its comments.

    Raises:
        BadFile: it is not TOML; the message says where.
    """
    try:
        return parse(text)
    except ParseError as error:
        raise BadFile(f"{name} is not TOML: {error}") from None


def structured(members: Any, kind: type[T], name: str) -> T:
    """Return *members* as a *kind*, an attrs class; messages call the file *name*.

    Raises:
        BadFile: a member is unknown, missing or of the wrong type; the message says which.
    """
    try:
        return _CONVERTER.structure(members, kind)
    except BaseValidationError as error:
        problems = transform_error(error, path=name, format_exception=_say)
        problem, _, path = problems[0].rpartition(" @ ")
        raise BadFile(f"{path} {problem}") from None


def _say(error: BaseException, kind: type | None) -> str:
    match error:
        case _WrongType():
            return str(error)
        case ForbiddenExtraKeysError(extra_fields=unknown):
            known = ", ".join(sorted(field.name for field in fields(error.cl)))
            return f"has the unknown member {min(unknown)!r}; it may have {known}"
        case KeyError():
            return "is missing"
        case _:
            return format_exception(error, kind)


class _WrongType(TypeError):
    """A member has another type than it must have."""


def _exactly(kind: type, words: str) -> Any:
    def structure(value: Any, _: Any) -> Any:
        # A bool is an int to Python, and a datetime a date.
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise _WrongType(f"must be {words}, not {value!r}")
        return value

    return structure


_CONVERTER = Converter(forbid_extra_keys=True)
for _kind, _words in (
    (str, "a string"),
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (date, "a date, such as 2030-12-31"),
    (datetime, "a date and a time"),
):
    _CONVERTER.register_structure_hook(_kind, _exactly(_kind, _words))


@_CONVERTER.register_structure_hook_factory(is_sequence)
def _list_only(kind: Any, converter: Converter) -> Any:
    structure = list_structure_factory(kind, converter)

    def only_lists(value: Any, expected: Any) -> Any:
        # A table would be taken for the list of its keys.
        if not isinstance(value, list):
            raise _WrongType(f"must be a list, not {value!r}")
        return structure(value, expected)

    return only_lists

"""What a subclass may do differently is said in one place, and nothing else may be."""

import inspect
from types import FunctionType

import pytest

from plexwire_server import EdgeGateway
from plexwire_server.edge._edge_viewer_connection import EdgeViewerConnection
from plexwire_server.extending import HOOKS, Gateway, GatewayState, PeerConnection


def methods(cls: type) -> dict[str, FunctionType]:
    """Return the methods that *cls* itself defines, but special ones."""
    return {
        name: method
        for name, method in vars(cls).items()
        if isinstance(method, FunctionType) and not name.startswith("__")
    }


@pytest.mark.parametrize("cls", HOOKS)
def test_every_public_method_is_a_hook_or_final(cls: type) -> None:
    for name, method in methods(cls).items():
        if name.startswith("_"):
            continue
        assert getattr(method, "__final__", False) != (name in HOOKS[cls]), name


@pytest.mark.parametrize("cls", HOOKS)
def test_every_hook_exists_and_says_what_it_does(cls: type) -> None:
    for name in HOOKS[cls]:
        assert inspect.getdoc(getattr(cls, name)), name


@pytest.mark.parametrize("cls", [EdgeGateway, EdgeViewerConnection])
def test_edge_overrides_only_hooks(cls: type) -> None:
    for base in HOOKS:
        if issubclass(cls, base):
            assert methods(cls).keys() & methods(base).keys() <= HOOKS[base]


def test_hooks_of_a_class_are_those_of_its_base_too() -> None:
    assert HOOKS[GatewayState] <= HOOKS[Gateway]
    assert all(
        HOOKS[PeerConnection] <= hooks
        for cls, hooks in HOOKS.items()
        if issubclass(cls, PeerConnection)
    )

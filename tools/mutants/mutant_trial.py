"""One mutant on trial: a fork of this process imports the gateway anew with one module changed, and judges it.

The judge is imported first, over the packages as they are, and keeps them: it never works on changed code.
"""

import ast
import importlib
import inspect
import json
import logging
import os
import resource
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from types import FrameType, ModuleType
from typing import Any, Final, TypeAlias

import trio
import trio.testing
from attrs import define, evolve, field, frozen

from mutant_operators import Names
from mutant_sites import PACKAGES, Mutant, Source, changed, has_functions
from plexwire_conformance.commands.selftest import CASES
from plexwire_conformance.run.case import Case
from plexwire_conformance.run.control import CouldNotJudge
from plexwire_conformance.run.findings import CaseResult, Verdict, choice
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.target.reference_gateway import keys_of, memory_gateway
from plexwire_conformance.target.target import Endpoint, Target

#: Seconds of computing and of the wall, and bytes, after which a mutant counts as one that hangs.
_CPU_S: Final = 15
#: The same while every line is traced.
_CPU_TRACED_S: Final = 60
_WALL_S: Final = 240.0
_MEMORY: Final = 4 << 30

_UNIX_MS: Final = 1_750_000_000_000

#: What a run says of a gateway, as JSON.
Said: TypeAlias = dict[str, Any]


class Found(BaseException):
    """A case has found a breach, and that was all that the run was for."""

    def __init__(self, clause: str, case: str) -> None:
        super().__init__(clause)
        self.clause = clause
        self.case = case


@frozen(kw_only=True)
class Setting:
    """How mutants are judged: over sockets in real time or in memory, to the first breach or to the end."""

    sources: dict[str, Source]
    names: Names
    sockets: bool = False
    whole: bool = True


@define(eq=False)
class _Changed(MetaPathFinder, Loader):
    """Imports one module from a changed tree."""

    module: str
    path: str
    tree: ast.Module

    def find_spec(
        self, fullname: str, path: object, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module, if it is this one."""
        if fullname != self.module:
            return None
        return spec_from_file_location(fullname, self.path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed module."""
        exec(compile(self.tree, self.path, "exec"), module.__dict__)


# ── in the fork ──────────────────────────────────────────────────────────────────────────────


def judge(mutant: Mutant | None, setting: Setting) -> Said:
    """Return what the suite says of the gateway with this change, or of the gateway as it is."""
    logging.disable(logging.CRITICAL)
    for name in list(sys.modules):
        if name.partition(".")[0] in PACKAGES:
            del sys.modules[name]
    if mutant is not None:
        source = setting.sources[mutant.module]
        tree = changed(source, mutant, setting.names)
        sys.meta_path.insert(0, _Changed(source.module, str(source.path), tree))
    try:
        server = importlib.import_module("plexwire_server")
        store, given = server.KeyStore.throw_away()
        gateway = server.Gateway(store)
    except Exception as error:
        return {"stillborn": _said_of(error)}
    try:
        if setting.sockets:
            results = trio.run(_over_sockets, server, gateway, given, setting)
        else:
            clock = trio.testing.MockClock(autojump_threshold=0)
            results = trio.run(_in_memory, gateway, given, setting, clock=clock)
    except BaseException as error:
        first = error
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        if isinstance(first, Found):
            return {"breaches": [[first.clause, first.case]]}
        word = "could not judge" if isinstance(first, CouldNotJudge) else "suite error"
        return {"stopped": f"{word}: {_said_of(first)}"}
    return {**_signature(results), "crashes": gateway.metrics.crashes}


def _said_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:200]


async def _in_memory(gateway: Any, given: Any, setting: Setting) -> tuple[CaseResult, ...]:
    async with memory_gateway(gateway, given) as target:
        return await _run(target, setting)


async def _over_sockets(
    server: Any, gateway: Any, given: Any, setting: Setting
) -> tuple[CaseResult, ...]:
    async with trio.open_nursery() as nursery:
        addresses = await nursery.start(server.serve, gateway)
        endpoint = Endpoint.of_url(f"ws://127.0.0.1:{addresses[0][1]}")
        target = Target(viewers=endpoint, devices=endpoint, keys=keys_of(given))
        results = await _run(target, setting)
        nursery.cancel_scope.cancel()
    return results


async def _run(target: Target, setting: Setting) -> tuple[CaseResult, ...]:
    cases = CASES if setting.whole else tuple(_eager(case) for case in CASES)
    runner = Runner(target, Settings(nonce="mutants", unix_ms=_UNIX_MS))
    return (await runner.run(cases, lambda event: None)).results


def _eager(case: Case) -> Case:
    """Return *case* so that it ends the run with its first breach."""

    async def body(stage: Stage, trial: Trial) -> None:
        try:
            await case.body(stage, trial)
        finally:
            for finding in trial.own_findings():
                if finding.is_breach:
                    raise Found(finding.clause, case.id)

    return evolve(case, body=body)


def _signature(results: Iterable[CaseResult]) -> Said:
    """Return the breaches, and everything else by which one run differs from another."""
    breaches: list[list[str]] = []
    other: set[str] = set()
    for result in results:
        breaches += [[f.clause, result.case] for f in result.findings if f.is_breach]
        if result.verdict in (Verdict.ERROR, Verdict.UNTESTABLE, Verdict.BLOCKED):
            other.add(f"{result.verdict}: {result.case}")
        for finding in result.findings:
            if not finding.is_breach:
                chosen = json.dumps(choice(finding), sort_keys=True, default=str)
                other.add(f"chose: {finding.check} {chosen}"[:300])
        skipped = sorted({*result.clauses} - {*result.judged})
        if skipped and result.verdict is Verdict.PASS:
            other.add(f"not judged: {result.case} {skipped}")
    return {"breaches": breaches, "other": sorted(other)}


# ── outside ──────────────────────────────────────────────────────────────────────────────────


@define(eq=False)
class _Running:
    what: Mutant | None
    pid: int
    since: float
    data: bytes = field(default=b"")


def judge_all(
    mutants: Iterable[Mutant | None], setting: Setting, jobs: int, until: float
) -> Iterator[tuple[Mutant | None, Said]]:
    """Judge each of *mutants* in a fork of its own, *jobs* at once, and start none after the monotonic time *until*."""
    waiting = iter(mutants)
    running: dict[int, _Running] = {}
    with selectors.DefaultSelector() as selector:
        try:
            more = True
            while more or running:
                while more and len(running) < jobs:
                    if time.monotonic() > until:
                        more = False
                        break
                    try:
                        what = next(waiting)
                    except StopIteration:
                        more = False
                        break
                    pid, end = _fork(lambda what=what: judge(what, setting))  # type: ignore[misc]
                    running[end] = _Running(what, pid, time.monotonic())
                    selector.register(end, selectors.EVENT_READ)
                for key, _ in selector.select(1.0) if running else ():
                    one = running[key.fd]
                    data = os.read(key.fd, 1 << 16)
                    one.data += data
                    if not data:
                        selector.unregister(key.fd)
                        os.close(key.fd)
                        del running[key.fd]
                        os.waitpid(one.pid, 0)
                        yield one.what, json.loads(one.data or '{"stopped": "hung"}')
                for one in running.values():
                    if time.monotonic() - one.since > _WALL_S:
                        os.kill(one.pid, signal.SIGKILL)
        finally:
            for one in running.values():
                os.kill(one.pid, signal.SIGKILL)
                os.waitpid(one.pid, 0)


def _fork(work: Callable[[], Any], cpu_s: int = _CPU_S) -> tuple[int, int]:
    """Do *work* in a fork that may compute for *cpu_s* seconds.

    Returns its process id, and the end of a pipe through which its answer comes as JSON.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    os.close(reading)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    try:
        said = work()
    except BaseException as error:
        said = {"stopped": f"the tool failed: {_said_of(error)}"}
    with os.fdopen(writing, "w") as file:
        json.dump(said, file)
    os._exit(0)


def lines_run(setting: Setting) -> dict[str, set[int]]:
    """Return which lines in functions run while the gateway as it is is judged, by module.

    A module of constants, which has no function, is there if it was imported.
    """
    paths = {str(source.path): source.module for source in setting.sources.values()}
    seen: dict[str, set[int]] = {}

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        module = paths.get(frame.f_code.co_filename)
        # Modules and classes run when they are imported, which says nothing.
        if module is None or not frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            return None
        # The judge runs some of this code as well, but in the modules that it has kept.
        if frame.f_globals is not vars(sys.modules[module]):
            return None
        lines = seen.setdefault(module, set())
        lines.add(frame.f_lineno)

        def local(frame: FrameType, event: str, argument: object) -> Any:
            lines.add(frame.f_lineno)
            return local

        return local

    def work() -> dict[str, list[int]]:
        sys.settrace(trace)
        said = judge(None, setting)
        sys.settrace(None)
        if "stopped" in said or "stillborn" in said:
            raise RuntimeError(str(said))
        for source in setting.sources.values():
            if source.module in sys.modules and not has_functions(source):
                seen.setdefault(source.module, set())
        return {module: sorted(lines) for module, lines in seen.items()}

    pid, end = _fork(work, _CPU_TRACED_S)
    with os.fdopen(end) as file:
        answer = json.load(file)
    os.waitpid(pid, 0)
    if "stopped" in answer:
        raise SystemExit(f"the gateway as it is could not be judged: {answer['stopped']}")
    return {module: set(lines) for module, lines in answer.items()}

"""What a run was about, as its reports say it."""

import shlex
from datetime import UTC, datetime

from attrs import frozen

from plexwire_conformance.run.events import JudgedProgram, RunStarted
from plexwire_conformance.run.tolerances import Tolerances
from plexwire_conformance.target.description import SOURCE_ID
from plexwire_protocol import __version__
from plexwire_spec import Party


@frozen(kw_only=True)
class About:
    """Which gateway, viewer or device was judged, when, by which cases, with which tolerances, and by which version of the suite."""

    url: str
    device_url: str
    began: datetime
    tolerances: Tolerances
    cases: tuple[str, ...]
    source_id: str = SOURCE_ID
    #: The camera that was watched, as SOURCE_ID/CAMERA_ID, where one was named that runs anyway.
    live: str = ""
    #: What the gateway is called, if the suite ran it, and the options by which the command line chooses it.
    called: str = ""
    chosen_by: tuple[str, ...] = ()
    version: str = __version__
    #: Whom the run judges.
    role: Party = Party.GATEWAY

    @classmethod
    def of(cls, event: RunStarted) -> "About":
        """Return what the run that *event* begins is about."""
        if isinstance(event.target, JudgedProgram):
            return cls(
                url=event.target.called,
                device_url=event.target.called,
                began=datetime.fromtimestamp(event.unix_ms / 1000, UTC),
                tolerances=event.tolerances,
                cases=tuple(case.id for case in event.cases),
                chosen_by=("--", *event.target.command) if event.target.command else (),
                role=event.target.role,
            )
        return cls(
            url=event.target.viewers.url,
            device_url=event.target.devices.url,
            began=datetime.fromtimestamp(event.unix_ms / 1000, UTC),
            tolerances=event.tolerances,
            cases=tuple(case.id for case in event.cases),
            source_id=event.target.source_prefix,
            live="" if event.target.live is None else str(event.target.live),
            called=event.target.called,
            chosen_by=event.target.chosen_by,
        )

    @property
    def place(self) -> str:
        """The options by which the command line names the target: its URL, and those without which it is another one."""
        if self.called or self.role is not Party.GATEWAY:
            return shlex.join(self.chosen_by)
        words = ["--url", self.url]
        if self.device_url != self.url:
            words += ["--device-url", self.device_url]
        if self.source_id != SOURCE_ID:
            words += ["--source-id", self.source_id]
        if self.live:
            words += ["--live", self.live]
        return shlex.join(words)

    @property
    def when(self) -> str:
        """The moment at which it began, for people."""
        return f"{self.began.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"

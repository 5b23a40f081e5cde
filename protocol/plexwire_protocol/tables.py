"""The two conversations as tables, for diagrams, tests and sessions that deviate.

`VIEWER_CONVERSATION` is followed by `ViewerSession` and `GatewayViewerSession`, `DEVICE_CONVERSATION` by
`DeviceSession` and `GatewayDeviceSession`.  A table has one row per transition (`Edge`) and one per deadline (`Timer`).
"""

from plexwire_protocol._public import publish
from plexwire_protocol._states import (
    DEVICE_CONVERSATION,
    VIEWER_CONVERSATION,
    ConversationTable,
    Deadline,
    Edge,
    Timer,
    Trigger,
    render_mermaid,
)

__all__ = [
    "DEVICE_CONVERSATION",
    "VIEWER_CONVERSATION",
    "ConversationTable",
    "Deadline",
    "Edge",
    "Timer",
    "Trigger",
    "render_mermaid",
]

publish(__name__, (globals()[name] for name in __all__))

"""The JSON Schemas, one a message and direction, and the AsyncAPI document that ties them together."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

#: The schemas of `schemas/`, as DIRECTION.TYPE, in the order of the specification.
SCHEMAS: Final = (
    "viewer-to-gateway.auth",
    "gateway-to-viewer.init",
    "gateway-to-viewer.video_frame",
    "gateway-to-viewer.gateway_reconnecting",
    "device-to-gateway.device_auth",
    "gateway-to-device.authenticated",
    "gateway-to-device.error",
    "device-to-gateway.video_frame",
    "device-to-gateway.heartbeat",
    "device-to-gateway.telemetry",
    "gateway-to-device.telemetry_ack",
    "device-to-gateway.command_result",
    "device-to-gateway.command_status",
    "device-to-gateway.command_sync",
)


@cache
def schemas() -> Mapping[str, Mapping[str, Any]]:
    """Return every schema (JSON Schema 2020-12) by its name, such as `viewer-to-gateway.auth`."""
    folder = files("plexwire_spec").joinpath("schemas")
    return {
        name: json.loads(folder.joinpath(f"{name}.schema.json").read_text("utf-8"))
        for name in SCHEMAS
    }


def asyncapi_text() -> str:
    """Return the AsyncAPI 3.0 document of both channels, YAML; its schemas lie beside it in `schemas/`."""
    return files("plexwire_spec").joinpath("asyncapi.yaml").read_text("utf-8")

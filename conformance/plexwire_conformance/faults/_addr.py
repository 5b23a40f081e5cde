"""Faults in how addresses are read, and in what the handshake asks for."""

from abc import abstractmethod
from http import HTTPStatus
from urllib.parse import unquote

import trio
from attrs import evolve

from plexwire_conformance.faults._fault import FaultyGateway, Viewer, fault
from plexwire_conformance.faults._parts import Leaking, Refusing, is_of
from plexwire_conformance.faults._wire import CLOSE, Wire, encode_frame
from plexwire_protocol import DEVICE_PATH, AddressRefused, StreamAddress, VideoFrame
from plexwire_protocol.limits import DEFAULT_CAMERA
from plexwire_server.extending import Request, Response

# ── which cameras ────────────────────────────────────────────────────────────────────────────


class _Reading(FaultyGateway):
    """Reads addresses otherwise."""

    @abstractmethod
    def cameras(self, cameras: tuple[str, ...]) -> tuple[str, ...]:
        """Return the cameras that it takes *cameras* for."""

    def read_address(self, target: str) -> StreamAddress:
        address = super().read_address(target)
        return evolve(address, cameras=self.cameras(address.cameras))


@fault(
    "addr.last-camera-only",
    "Takes the last camera_id alone, as a dict of parameters does.",
    "PW-ADDR-2",
)
class LastCameraOnly(_Reading):
    def cameras(self, cameras: tuple[str, ...]) -> tuple[str, ...]:
        return cameras[-1:]


@fault("addr.first-camera-only", "Takes the first camera_id alone.", "PW-ADDR-2")
class FirstCameraOnly(_Reading):
    def cameras(self, cameras: tuple[str, ...]) -> tuple[str, ...]:
        return cameras[:1]


@fault("addr.one-camera-allowed", "Refuses an address with more than one camera_id.", "PW-ADDR-2")
class OneCameraAllowed(Refusing):
    refusal = Response(HTTPStatus.BAD_REQUEST, "One camera at a time.\n")

    def refuses(self, request: Request) -> bool:
        return request.target.count("camera_id=") > 1


@fault(
    "addr.default-means-all",
    "Sends every camera of a source where the address names none.",
    "PW-ADDR-3",
    also=("PW-ISO-1",),
)
class DefaultMeansAll(Leaking):
    def leaks(self, viewer: Viewer, organisation: str, frame: VideoFrame) -> bool:
        asked = viewer.address.cameras
        return asked == (DEFAULT_CAMERA,) and is_of(viewer, organisation, frame.source_id)


@fault(
    "addr.default-by-another-name",
    "Takes the camera `main` where the address names none.",
    "PW-ADDR-3",
)
class DefaultByAnotherName(FaultyGateway):
    def read_address(self, target: str) -> StreamAddress:
        return super().read_address(
            target if "camera_id=" in target else f"{target}?camera_id=main"
        )


@fault("addr.camera-demanded", "Refuses an address that names no camera.", "PW-ADDR-3")
class CameraDemanded(Refusing):
    refusal = Response(HTTPStatus.BAD_REQUEST, "Which camera?\n")

    def refuses(self, request: Request) -> bool:
        return request.path.startswith("/v1/sources/") and "camera_id=" not in request.target


# ── decoding ─────────────────────────────────────────────────────────────────────────────────


@fault("addr.not-decoded", "Compares ids as they stand in the address.", "PW-ADDR-4")
class NotDecoded(FaultyGateway):
    def read_address(self, target: str) -> StreamAddress:
        return super().read_address(target.replace("%", "%25"))


@fault("addr.decoded-twice", "Decodes camera ids twice.", "PW-ADDR-4")
class DecodedTwice(_Reading):
    def cameras(self, cameras: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(unquote, cameras))


@fault(
    "addr.decoded-before-split",
    "Decodes the address first and takes it apart then.",
    "PW-ADDR-4",
    also=("PW-ISO-1",),
)
class DecodedBeforeSplit(FaultyGateway):
    def read_address(self, target: str) -> StreamAddress:
        return super().read_address(unquote(target).replace("%", "%25"))


@fault(
    "addr.plus-becomes-space",
    "Takes a plus for a space even where it was escaped.",
    "PW-ADDR-4",
    also=("PW-ISO-1",),
)
class PlusBecomesSpace(_Reading):
    def cameras(self, cameras: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(camera.replace("+", " ") for camera in cameras)


@fault("addr.latin-1", "Decodes ids as Latin-1.", "PW-ADDR-4")
class Latin1(_Reading):
    def cameras(self, cameras: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(camera.encode().decode("latin-1") for camera in cameras)


@fault(
    "addr.unknown-parameter-refused",
    "Refuses an address with a parameter that it does not know.",
    "PW-ADDR-10",
)
class UnknownParameterRefused(Refusing):
    refusal = Response(HTTPStatus.BAD_REQUEST, "What is that?\n")

    def refuses(self, request: Request) -> bool:
        named = filter(None, request.target.partition("?")[2].split("&"))
        return any(one.partition("=")[0] not in ("camera_id", "timeout") for one in named)


# ── the handshake ────────────────────────────────────────────────────────────────────────────


@fault("addr.viewers-hung-up-on", "Hangs up on every handshake of a viewer.", "PW-ADDR-1")
class ViewersHungUpOn(Wire):
    def answer(self, head: bytes) -> bytes:
        raise trio.BrokenResourceError


@fault("addr.header-demanded", "Wants the key in an Authorization header as well.", "PW-ADDR-5")
class HeaderDemanded(Refusing):
    refusal = Response(HTTPStatus.UNAUTHORIZED, "Who are you?\n")

    def refuses(self, request: Request) -> bool:
        return request.path != DEVICE_PATH and not request.header("authorization")


@fault("addr.key-in-url-demanded", "Wants the key in the address as well.", "PW-ADDR-5")
class KeyInUrlDemanded(Refusing):
    refusal = Response(HTTPStatus.FORBIDDEN, "No api_key.\n")

    def refuses(self, request: Request) -> bool:
        return request.path != DEVICE_PATH and "api_key=" not in request.target


@fault("addr.no-device-endpoint", "Serves devices somewhere else.", "PW-ADDR-6")
class NoDeviceEndpoint(Refusing):
    refusal = Response(HTTPStatus.NOT_FOUND, "There is nothing at this path.\n")

    def refuses(self, request: Request) -> bool:
        return request.path == DEVICE_PATH


@fault(
    "addr.device-origin-refused",
    "Takes a device with an Origin header for a browser, and refuses it.",
    "PW-ADDR-7",
)
class DeviceOriginRefused(Refusing):
    refusal = Response(HTTPStatus.FORBIDDEN, "No browsers here.\n")

    def refuses(self, request: Request) -> bool:
        return request.path == DEVICE_PATH and request.header("origin") != ""


@fault(
    "addr.viewer-origin-refused",
    "Refuses a viewer that comes from a page of another site.",
    "PW-ADDR-18",
)
class ViewerOriginRefused(Refusing):
    refusal = Response(HTTPStatus.FORBIDDEN, "Not from there.\n")

    def refuses(self, request: Request) -> bool:
        origin = request.header("origin")
        is_foreign = origin != "" and not origin.endswith("//gateway.test")
        return request.path != DEVICE_PATH and is_foreign


@fault(
    "addr.viewer-origin-closed",
    "Upgrades a viewer that comes from a page, and closes it with 1008.",
    "PW-ADDR-18",
)
class ViewerOriginClosed(Wire):
    _from_page = False

    def hears(self, data: bytes) -> bytes:
        if not self._answered:
            self._from_page = b"/video/stream" in data and b"\r\norigin:" in data.lower()
        return data

    def answer(self, head: bytes) -> bytes:
        return head + encode_frame(CLOSE, b"\x03\xf0") if self._from_page else head

    def says(self, opcode: int, frame: bytes) -> bytes:
        return b"" if self._from_page else frame


@fault("addr.any-path", "Upgrades whatever the path is.", "PW-ADDR-13")
class AnyPath(FaultyGateway):
    def read_address(self, target: str) -> StreamAddress:
        try:
            return super().read_address(target)
        except AddressRefused:
            return StreamAddress(source_id="lobby")

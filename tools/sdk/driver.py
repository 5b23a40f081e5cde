"""A device on the real SDK: does what each line of standard input says, and answers each with a line.

It runs under the Python of an environment that holds one release of `plexus-python` and nothing of ours.  A line is JSON,
`{"number": N, "do": NAME, ...arguments}`; the answer has the number, and either `returned` or the class that was `raised`
and what it `said`.  Keys come from the environment, and HOME must be a folder of its own: the SDK keeps files there.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event


class Driver:
    """The devices and camera streams of one process, by the names that its orders give them."""

    def __init__(self) -> None:
        self._devices: dict[str, Any] = {}
        self._streams: dict[str, Event] = {}

    def open(self, source_id: str, url: str, key_name: str) -> None:
        """Make a device that has commands to offer; it connects with the first thing that it sends."""
        from plexus import Plexus

        device = Plexus(
            api_key=os.environ[key_name],
            source_id=source_id,
            ws_url=url,
            persistent_buffer=False,
        )
        device.on_command("blink", lambda name, params: {"blinked": params})
        if hasattr(device, "command"):  # a second generation of commands, since 0.12

            @device.command("turn", params={"degrees": {"type": "integer"}})  # type: ignore[untyped-decorator]
            def turn(run: object, degrees: int) -> dict[str, int]:
                return {"turned": degrees}

        self._devices[source_id] = device

    def send(
        self,
        source_id: str,
        camera: str,
        path: str,
        timestamp: float | None = None,
        as_array: bool = False,
    ) -> bool:
        """Send the file at *path*, as its bytes or as the array that OpenCV reads from it."""
        picture: Any = Path(path).read_bytes()
        if as_array:
            import cv2

            picture = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        sent: bool = self._devices[source_id].send_video_frame(
            picture, camera_id=camera, timestamp=timestamp
        )
        return sent

    def burst(self, source_id: str, camera: str, paths: list[str]) -> list[bool]:
        """Send files one after another, as fast as the SDK takes them."""
        return [self.send(source_id, camera, path) for path in paths]

    def thermal(self, source_id: str, camera: str, temps: list[list[float]]) -> bool:
        """Send rows of degrees Celsius as a thermal picture."""
        send = self._devices[source_id].send_thermal_frame
        import numpy as np

        sent: bool = send(np.array(temps, dtype=np.float32), camera_id=camera)
        return sent

    def telemetry(self, source_id: str, metric: str, value: Any) -> bool:
        """Send one reading."""
        sent: bool = self._devices[source_id].send(metric, value)
        return sent

    def stream(self, source_id: str, camera: str, url: str) -> None:
        """Have ffmpeg read *url*."""
        self._streams[camera] = self._devices[source_id].stream_camera(url, camera_id=camera)

    def stop(self, source_id: str, camera: str) -> None:
        """Stop that."""
        self._streams.pop(camera).set()

    def stream_without_ffmpeg(self, source_id: str, camera: str, url: str) -> None:
        """Try it on a machine that has no ffmpeg."""
        path = os.environ["PATH"]
        os.environ["PATH"] = ""
        try:
            self.stream(source_id, camera, url)
        finally:
            os.environ["PATH"] = path

    def close(self, source_id: str) -> None:
        """Close the device."""
        self._devices.pop(source_id).close()


def answer(driver: Driver, order: dict[str, Any]) -> dict[str, Any]:
    """Do what *order* says, and return what came of it."""
    number = order.pop("number")
    do: Callable[..., Any] = getattr(driver, order.pop("do"))
    try:
        return {"number": number, "returned": do(**order)}
    except Exception as error:  # whatever it is, it is what the SDK did
        return {"number": number, "raised": type(error).__name__, "said": str(error)}


def load_pillow() -> None:
    """Have Pillow load all that it can read, if it is there.

    Where two threads open their first pictures at once, one of them may be told that its format is unknown: a race in
    Pillow, which is not what is tried here.
    """
    try:
        from PIL import Image
    except ImportError:
        return
    Image.init()


def main() -> None:
    """Obey until standard input ends."""
    load_pillow()
    # An ffmpeg that the SDK starts reads the standard input that it inherits, and takes a `q` in it for an order.
    orders = os.fdopen(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    driver = Driver()
    for line in orders:
        print(json.dumps(answer(driver, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()

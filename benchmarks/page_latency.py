"""How old a picture is when the page has painted it: device, gateway and browser on one machine, over loopback.

    python benchmarks/page_latency.py
    python benchmarks/page_latency.py --cameras 9 --fps 30 --seconds 60

The device is `plexwire publish` with pictures that were drawn before; it stamps each when it sends it.  The page's event
`plexwire:painted` tells when the browser had painted it.  Gateway, device and browser are processes of their own, and
on one machine they have one clock; what the page measures of it is printed beside.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any, Final
from urllib.request import urlopen

from plexwire_client.pattern import make_pattern
from plexwire_trio import read_keys_file

sys.path.insert(0, str(Path(__file__).parents[1] / "server/tests/pages"))

from chromium import open_chromium

SOURCE: Final = "robot-01"
#: Pictures that the device has, and seconds before anything is measured.
PICTURES: Final = 30
WARM_UP_S: Final = 3

_COLLECT: Final = """
  globalThis.samples = [];
  document.addEventListener("plexwire:painted", ({ detail }) => {
    samples.push([detail.camera_id, performance.now(), detail.latency_ms, detail.skipped, detail.broken]);
  });
"""


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    cameras = [f"camera-{number}" for number in range(options.cameras)]
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        total = sum(
            (folder / f"{number:03}.jpg").write_bytes(make_pattern(number, width, height))
            for number in range(PICTURES)
        )
        print(
            f"{options.cameras} cameras, {options.fps:g} pictures a second each, {options.size},"
            f" {total / PICTURES / 1000:.0f} kB a picture, {options.seconds:g} s"
        )
        with serving(folder / "keys.env") as keys, publishing(keys, folder, cameras, options.fps):
            samples, clock = watch(keys, cameras, options.seconds)
            dropped = count_dropped(keys["PLEXWIRE_URL"])
    tell(samples, cameras, options.seconds)
    print(f"replaced in the gateway: {dropped}")
    print(clock)


def watch(
    keys: Mapping[str, str], cameras: list[str], seconds: float
) -> tuple[list[list[Any]], str]:
    """Watch *cameras* in Chromium; return what was painted, and what the page says of its clock."""
    page_url = keys["PLEXWIRE_URL"].replace("ws", "http", 1)
    fragment = "&".join([f"source={SOURCE}", *(f"camera={camera}" for camera in cameras)])
    with open_chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.add_init_script(_COLLECT)
        page.goto(f"{page_url}/#{fragment}")
        page.fill("#key", keys["PLEXWIRE_API_KEY"])
        page.click("#connect")
        page.wait_for_function("() => samples.length > 0")
        page.wait_for_timeout(WARM_UP_S * 1000)
        begin = page.evaluate("() => performance.now()")
        page.wait_for_timeout(seconds * 1000)
        samples: list[list[Any]] = page.evaluate(
            "([begin, end]) => samples.filter(([, at]) => at >= begin && at < end)",
            [begin, begin + seconds * 1000],
        )
        clock = page.text_content("#clock") or ""
    return samples, clock


def tell(samples: list[list[Any]], cameras: list[str], seconds: float) -> None:
    """Print a line a camera, and one for all of them."""
    print(f"{'':12}{'fps':>7}{'skipped':>9}{'broken':>8}{'p50':>9}{'p90':>9}{'p99':>9}{'max':>9}")
    for camera in [*cameras, ""]:
        of_camera = [sample for sample in samples if camera in ("", sample[0])]
        if len(of_camera) < 2:
            sys.exit(f"{camera or 'The page'} painted {len(of_camera)} pictures: nothing to tell.")
        latencies = [latency for _, _, latency, _, _ in of_camera]
        cuts = quantiles(latencies, n=100, method="inclusive")
        missed = "".join(
            f"{of_camera[-1][column] - of_camera[0][column] if camera else '':>{width}}"
            for column, width in ((3, 9), (4, 8))
        )
        print(
            f"{camera or 'all':12}{len(of_camera) / seconds:7.2f}{missed}"
            + "".join(
                f"{value:6.1f} ms" for value in (cuts[49], cuts[89], cuts[98], max(latencies))
            )
        )


def count_dropped(url: str) -> int:
    """Return how many pictures the gateway replaced by newer ones before the page took them."""
    with urlopen(url.replace("ws", "http", 1) + "/metrics") as answer:
        lines = answer.read().decode().splitlines()
    name = 'plexwire_frames_dropped_total{reason="replaced"} '
    return sum(int(float(line.removeprefix(name))) for line in lines if line.startswith(name))


@contextmanager
def serving(keys_file: Path) -> Iterator[dict[str, str]]:
    """Run a gateway; yield its keys and its URL."""
    options = ("--port", "0", "--write-keys", str(keys_file))
    command = [sys.executable, "-m", "plexwire_server", "serve", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            if process.stdout is None or not process.stdout.readline():
                sys.exit("The gateway did not start.")
            yield read_keys_file(keys_file)
        finally:
            process.terminate()


@contextmanager
def publishing(
    keys: Mapping[str, str], folder: Path, cameras: list[str], fps: float
) -> Iterator[None]:
    """Run a device with the pictures in *folder*."""
    named = [word for camera in cameras for word in ("--camera", camera)]
    command = [sys.executable, "-m", "plexwire_conformance.cli", "publish", keys["PLEXWIRE_URL"]]
    command += [str(folder), "--source-id", SOURCE, "--fps", str(fps), *named]
    environment = {**os.environ, "PLEXWIRE_DEVICE_KEY": keys["PLEXWIRE_DEVICE_KEY"]}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        try:
            yield
        finally:
            process.terminate()


if __name__ == "__main__":
    main()

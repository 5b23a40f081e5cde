"""A live RTSP source on loopback: pictures of a folder, 15 a second, over and over, as H.264.

Runs under the system's Python, where Debian puts GStreamer: `apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi`.
It prints the URL, and serves until standard input closes.
"""

import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 - the versions come first

# The parameter sets and a whole picture come every second, so that whoever joins sees something soon.
PIPELINE = (
    '( multifilesrc location="{folder}/%04d.jpg" loop=true caps="image/jpeg,framerate=15/1"'
    " ! jpegdec ! videoconvert ! clocksync ! openh264enc gop-size=15 bitrate=2000000"
    " ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1 )"
)


def main() -> None:
    """Serve the folder that is named on the command line."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service="0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    factory.set_launch(PIPELINE.format(folder=sys.argv[1]))
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    loop = GLib.MainLoop()

    def wait_for_end() -> None:
        sys.stdin.read()
        loop.quit()

    threading.Thread(target=wait_for_end, daemon=True).start()
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/live", flush=True)
    loop.run()


if __name__ == "__main__":
    main()

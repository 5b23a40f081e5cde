"""The pictures that devices are given, made once a run, with counters in them that survive encoding."""

import subprocess
from io import BytesIO
from pathlib import Path
from typing import Final

from attrs import frozen
from PIL import Image

from plexwire_client.pattern import make_pattern

SIZE: Final = (320, 240)
#: Pictures of the endless camera, and of the video file.
CAMERA_PICTURES: Final = 150
FILE_PICTURES: Final = 300


@frozen
class Pictures:
    """Files in one folder."""

    folder: Path

    @property
    def camera(self) -> Path:
        """The folder of the pictures that the live camera shows."""
        return self.folder / "camera"

    @property
    def video(self) -> Path:
        """A video file."""
        return self.folder / "video.mp4"

    def jpeg(self, counter: int) -> Path:
        """Return a picture of the camera as a JPEG."""
        return self.camera / f"{counter % CAMERA_PICTURES:04d}.jpg"

    def converted(self, counter: int, suffix: str) -> Path:
        """Return one in another format, by the suffix of its file's name."""
        path = self.folder / f"{counter:04d}.{suffix}"
        Image.open(self.jpeg(counter)).save(path)
        return path

    def grey(self, counter: int) -> Path:
        """Return one without colours, as a PNG."""
        path = self.folder / f"{counter:04d}-grey.png"
        Image.open(self.jpeg(counter)).convert("L").save(path)
        return path

    def noisy(self, counter: int, size: tuple[int, int], noise: float, *, suffix: str) -> Path:
        """Return a picture that compresses badly, the worse the larger *noise*, a standard deviation."""
        path = self.folder / f"{counter:04d}-noisy.{suffix}"
        picture = Image.open(BytesIO(make_pattern(counter, *size)))
        layers = [Image.effect_noise(size, noise) for _ in picture.getbands()]
        Image.blend(picture, Image.merge(picture.mode, layers), 0.35).save(path, quality=95)
        return path

    def noise(self, size: tuple[int, int]) -> Path:
        """Return a picture of nothing but noise, which hardly compresses at all."""
        path = self.folder / f"noise-{size[0]}.jpg"
        noise = Image.effect_noise(size, 128)
        flips = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM)
        layers = [noise, *(noise.transpose(flip) for flip in flips)]
        Image.merge("RGB", layers).save(path, quality=95)
        return path

    def raw(self, name: str, data: bytes) -> Path:
        """Return a file of *data*."""
        path = self.folder / name
        path.write_bytes(data)
        return path


def make_pictures(folder: Path) -> Pictures:
    """Make the pictures of the camera, and with ffmpeg the video file.

    Raises:
        FileNotFoundError: ffmpeg is not installed.
        subprocess.CalledProcessError: ffmpeg failed; what it said went to standard error.

    """
    pictures = Pictures(folder)
    pictures.camera.mkdir(parents=True)
    for counter in range(CAMERA_PICTURES):
        pictures.jpeg(counter).write_bytes(make_pattern(counter, *SIZE))
    stream = b"".join(make_pattern(counter, *SIZE) for counter in range(FILE_PICTURES))
    ffmpeg = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-f", "mjpeg", "-framerate", "15"]
    to_file = ["-i", "pipe:0", "-c:v", "mpeg4", "-q:v", "2", str(pictures.video)]
    subprocess.run([*ffmpeg, *to_file], input=stream, check=True)
    return pictures

"""Where frames come from: files, cameras, network streams, image folders, arrays. All share one contract, ``Source``.

Nothing is measured or drawn here. ``open_source`` opens any of them; the other modules are its parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from realtime_mer.errors import SourceError
from realtime_mer.sources.arrays import ArraySource
from realtime_mer.sources.feed import Source
from realtime_mer.sources.probe import ProbeReport, probe

INDUSTRIAL = ("genicam", "basler")

__all__ = ["ArraySource", "ProbeReport", "Source", "open_source", "probe"]


def open_source(
    uri: str | int | Path,
    *,
    rate: float | None = None,
    times: Sequence[float] | None = None,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    exposure: float | None = None,
    buffer_s: float = 1.0,
    timeout_s: float = 5.0,
    retries: int = 8,
) -> Source:
    """Opens a video file, a camera, a stream (rtsp, rtsps, http, https) or a folder of images.

    A camera is 0, "0" or "/dev/video0"; or "genicam:NAME" (GigE Vision, USB3 Vision) or "basler:NAME" by serial number
    or address. Without a name the first camera is used; ?format=BayerRG8 requests color.

    rate, times:        of an image folder (one of them): frames/s, or the time of each image in s. rate also of a
                        slow-motion video: the rate at which it was captured.
    width, height, fps: requested from a camera, px and frames/s (default: 640x480 at its highest rate; the whole sensor
                        of an industrial camera).
    exposure:           requested from an industrial camera, ms.
    buffer_s:           a live source buffers this many seconds for a slow reader, then drops frames and counts them.
    timeout_s, retries: a stream that is silent for ``timeout_s`` s is reconnected, at most ``retries`` times in a row,
                        with delays of 0.25 s doubling to 8 s (by default about 32 s in all).

    Live sources capture from now on, and count from the first read. Raises SourceError.
    """
    text = str(uri)
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    make = text.partition(":")[0]
    industrial = make in INDUSTRIAL and ":" in text
    camera = not scheme and (industrial or _is_camera(text))
    if rate is not None and (scheme or camera):
        raise SourceError(f"{text} is live and has its own times: a rate can be given for recordings only")
    if times is not None and (scheme or camera or not Path(text).is_dir()):
        raise SourceError(f"{text} has its own times: times can be given for a folder of images only")
    if not camera and (width, height, fps) != (None, None, None):
        raise SourceError(f"{text} is not a camera: its size and frame rate cannot be chosen")
    if exposure is not None and not industrial:
        raise SourceError(f"{text} is not an industrial camera: its exposure cannot be chosen")
    # Each kind is imported when it is asked for: a file needs no HTTP, a stream no image folder.
    if industrial:
        from realtime_mer.sources.industrial import CameraRequest

        request, name = CameraRequest(width, height, fps, exposure), text.partition(":")[2]
        if make == "genicam":
            from realtime_mer.sources.genicam import open_genicam

            return open_genicam(name, request, buffer_s=buffer_s)
        from realtime_mer.sources.basler import open_basler

        return open_basler(name, request, buffer_s=buffer_s)
    if camera:
        from realtime_mer.sources.camera import open_camera

        device = int(text) if text.isdecimal() else text
        return open_camera(device, width=width, height=height, fps=fps, buffer_s=buffer_s)
    if scheme in ("http", "https"):
        from realtime_mer.sources.mjpeg import open_mjpeg

        return open_mjpeg(text, buffer_s=buffer_s, timeout_s=timeout_s, retries=retries)
    if scheme in ("rtsp", "rtsps"):
        from realtime_mer.sources.rtsp import open_rtsp

        return open_rtsp(text, buffer_s=buffer_s, timeout_s=timeout_s, retries=retries)
    if scheme:
        raise SourceError(f"{scheme}:// is not supported: use rtsp, rtsps, http, https, a file, a folder or a camera")
    try:
        if Path(text).is_dir():
            from realtime_mer.sources.images import open_images

            return open_images(Path(text), rate, times)
        if Path(text).exists() and not Path(text).is_file():
            raise SourceError(f"{text} is a pipe or a device and cannot be read twice: save it to a file")
        from realtime_mer.sources.file import open_file

        return open_file(Path(text), rate)
    except (OSError, ValueError) as error:  # no permission, a name that is too long or no name, a file that vanished
        raise SourceError(f"{text} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _is_camera(text: str) -> bool:
    """Whether this names a camera. An existing file or folder is never taken for one."""
    path = Path(text)
    try:
        if path.is_file() or path.is_dir():
            return False
        device = path.is_char_device()
    except (OSError, ValueError):
        return False
    return text.isdecimal() or text.startswith("/dev/video") or (device and text.startswith("/dev/"))

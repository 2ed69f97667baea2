"""GenICam cameras, GigE Vision and USB3 Vision, through Aravis: no vendor's software is needed.

Aravis is called by ctypes, since its Python bindings must be compiled for each Python, and it has a plain C interface.
It is the library ``libaravis-0.8``: on Debian and Ubuntu ``apt-get install libaravis-0.8-0``.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from contextlib import suppress
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_size_t, c_uint, c_uint32, c_uint64, c_void_p
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from realtime_mer.errors import SourceError
from realtime_mer.sources.feed import Source
from realtime_mer.sources.industrial import CameraRequest, Chosen, Grab, address_of, choose_format, open_industrial

LIBRARIES: Final = ("libaravis-0.8.so.0", "libaravis-0.8.0.dylib", "aravis-0.8-0.dll")
BUFFERS_S: Final = 0.5  # frames that the library may buffer while we are busy
BUFFERS_MOST: Final = 256 << 20  # bytes
STEP: Final = ~3  # px: cameras move their region in steps of 2 or 4
CONTINUOUS, COMPLETE = 0, 0  # ARV_ACQUISITION_MODE_CONTINUOUS, ARV_BUFFER_STATUS_SUCCESS


class _Error(ctypes.Structure):
    """GError."""

    _fields_ = [("domain", c_uint32), ("code", c_int), ("message", c_char_p)]


_Errors = POINTER(_Error)
_Object = c_void_p
_SIGNATURES: Final[dict[str, tuple[Any, ...]]] = {  # result, then arguments; a name with "!" also takes a GError**
    "update_device_list": (None,),
    "get_n_devices": (c_uint,),
    "get_device_id": (c_char_p, c_uint),
    "get_device_serial_nbr": (c_char_p, c_uint),
    "get_device_address": (c_char_p, c_uint),
    "camera_new!": (_Object, c_char_p),
    "camera_get_vendor_name!": (c_char_p, _Object),
    "camera_get_model_name!": (c_char_p, _Object),
    "camera_get_device_serial_number!": (c_char_p, _Object),
    "camera_dup_available_pixel_formats_as_strings!": (POINTER(c_char_p), _Object, POINTER(c_uint)),
    "camera_set_pixel_format_from_string!": (None, _Object, c_char_p),
    "camera_get_sensor_size!": (None, _Object, POINTER(c_int), POINTER(c_int)),
    "camera_set_region!": (None, _Object, c_int, c_int, c_int, c_int),
    "camera_get_region!": (None, _Object, POINTER(c_int), POINTER(c_int), POINTER(c_int), POINTER(c_int)),
    "camera_is_exposure_time_available!": (c_int, _Object),
    "camera_set_exposure_time!": (None, _Object, c_double),
    "camera_get_exposure_time!": (c_double, _Object),
    "camera_is_frame_rate_available!": (c_int, _Object),
    "camera_get_frame_rate_bounds!": (None, _Object, POINTER(c_double), POINTER(c_double)),
    "camera_set_frame_rate!": (None, _Object, c_double),
    "camera_get_frame_rate!": (c_double, _Object),
    "camera_set_acquisition_mode!": (None, _Object, c_int),
    "camera_get_payload!": (c_uint, _Object),
    "camera_create_stream!": (_Object, _Object, c_void_p, c_void_p),
    "camera_start_acquisition!": (None, _Object),
    "camera_stop_acquisition!": (None, _Object),
    "stream_push_buffer": (None, _Object, _Object),
    "stream_timeout_pop_buffer": (_Object, _Object, c_uint64),
    "buffer_new_allocate": (_Object, c_size_t),
    "buffer_get_status": (c_int, _Object),
    "buffer_get_frame_id": (c_uint64, _Object),
    "buffer_get_timestamp": (c_uint64, _Object),
    "buffer_get_image_width": (c_int, _Object),
    "buffer_get_image_height": (c_int, _Object),
    "buffer_get_data": (c_void_p, _Object, POINTER(c_size_t)),
}


def open_genicam(name: str, request: CameraRequest, *, buffer_s: float = 1.0) -> Source:
    """Opens the camera with this id, serial number or address; "" takes the first one. Raises SourceError."""
    named, request = address_of(name, request)
    camera = AravisCamera(named, request)
    return open_industrial(f"genicam:{named or camera.chosen.about['serial']}", camera, buffer_s=buffer_s)


class Aravis:
    """The library: ``call(name, ...)`` calls ``arv_NAME`` and raises SourceError with its message."""

    def __init__(self) -> None:
        self._library = _load(LIBRARIES, "aravis-0.8")
        self._unref = ctypes.CDLL(ctypes.util.find_library("gobject-2.0") or "libgobject-2.0.so.0").g_object_unref
        self._unref.argtypes, self._unref.restype = [c_void_p], None

    def call(self, name: str, *arguments: Any) -> Any:
        """``arv_NAME`` with these arguments. Raises SourceError."""
        fails = f"{name}!" in _SIGNATURES
        result, *kinds = _SIGNATURES[f"{name}!" if fails else name]
        function = getattr(self._library, f"arv_{name}")
        function.restype, function.argtypes = result, [*kinds, *([POINTER(_Errors)] if fails else [])]
        if not fails:
            return function(*arguments)
        error = _Errors()
        value = function(*arguments, byref(error))
        if error:
            raise SourceError(error.contents.message.decode(errors="replace"))
        return value

    def release(self, thing: int | None) -> None:
        """Releases an object."""
        if thing:
            self._unref(thing)


def _load(names: tuple[str, ...], short: str) -> ctypes.CDLL:
    found = ctypes.util.find_library(short)
    for name in (*names, *((found,) if found else ())):
        with suppress(OSError):
            return ctypes.CDLL(name)
    raise SourceError("GenICam cameras need the library Aravis: on Debian or Ubuntu apt-get install libaravis-0.8-0")


class AravisCamera:
    """An open, delivering camera."""

    def __init__(self, name: str, request: CameraRequest) -> None:
        self._aravis = aravis = Aravis()
        self._camera: int | None = aravis.call("camera_new", self._find(name).encode())
        self._stream: int | None = None
        try:
            self.chosen = self._set_up(request)
            self._start()
        except BaseException:
            self.close()
            raise

    def grab(self, seconds: float) -> Grab | None:
        """As ``Grabber``."""
        aravis = self._aravis
        buffer = aravis.call("stream_timeout_pop_buffer", self._stream, int(seconds * 1e6))
        if not buffer:
            return None
        try:
            stamp = aravis.call("buffer_get_timestamp", buffer)
            picture = self._picture(buffer) if aravis.call("buffer_get_status", buffer) == COMPLETE else None
            return Grab(aravis.call("buffer_get_frame_id", buffer), stamp * 1e-9 if stamp else None, picture)
        finally:
            aravis.call("stream_push_buffer", self._stream, buffer)

    def close(self) -> None:
        """Stops and releases the camera."""
        camera, self._camera = self._camera, None
        if camera is not None:
            with suppress(SourceError):  # the camera has gone
                self._aravis.call("camera_stop_acquisition", camera)
            self._aravis.release(self._stream)
            self._aravis.release(camera)

    def _find(self, name: str) -> str:
        """The id of the camera with this name."""
        call, seen = self._aravis.call, []
        call("update_device_list")
        for number in range(call("get_n_devices")):
            names = [call(f"get_device_{what}", number) for what in ("id", "serial_nbr", "address")]
            seen.append([(text or b"").decode(errors="replace") for text in names])
        for names in seen:
            if not name or name in names:
                return names[0]
        found = ", ".join(names[0] for names in seen)
        raise SourceError(f"no GenICam camera {name}: " + (f"cameras here: {found}" if found else "none was found"))

    def _set_up(self, request: CameraRequest) -> Chosen:
        call, camera = self._aravis.call, self._camera
        count = c_uint()
        listed = call("camera_dup_available_pixel_formats_as_strings", camera, byref(count))
        available = [listed[i].decode() for i in range(count.value)]
        model = (call("camera_get_model_name", camera) or b"").decode(errors="replace")
        pixel_format = choose_format(available, request.pixel_format, model)
        call("camera_set_pixel_format_from_string", camera, pixel_format.encode())
        size = self._crop(request)
        exposure = None
        if call("camera_is_exposure_time_available", camera):
            if request.exposure is not None:
                call("camera_set_exposure_time", camera, request.exposure * 1000)
            exposure = call("camera_get_exposure_time", camera) / 1000
        rate = 0.0
        if call("camera_is_frame_rate_available", camera):
            least, most = c_double(), c_double()
            call("camera_get_frame_rate_bounds", camera, byref(least), byref(most))
            most.value = min(most.value, 1000 / exposure if exposure else most.value)
            call("camera_set_frame_rate", camera, min(max(request.fps or most.value, least.value), most.value))
            rate = call("camera_get_frame_rate", camera)
        call("camera_set_acquisition_mode", camera, CONTINUOUS)
        names = {"vendor": "camera_get_vendor_name", "serial": "camera_get_device_serial_number"}
        about = {key: (call(name, camera) or b"").decode(errors="replace") for key, name in names.items()}
        return Chosen(size, rate, exposure, pixel_format, {"model": model, **about})

    def _crop(self, request: CameraRequest) -> tuple[int, int]:
        """Sets the region to read, in the middle of the sensor, and returns its size."""
        call, camera = self._aravis.call, self._camera
        if request.width is not None or request.height is not None:
            across, down = c_int(), c_int()
            call("camera_get_sensor_size", camera, byref(across), byref(down))
            width = min(request.width or across.value, across.value)
            height = min(request.height or down.value, down.value)
            left, top = (across.value - width) // 2 & STEP, (down.value - height) // 2 & STEP
            call("camera_set_region", camera, left, top, width, height)
        region = [c_int() for _ in range(4)]
        call("camera_get_region", camera, *map(byref, region))
        return region[2].value, region[3].value

    def _start(self) -> None:
        call = self._aravis.call
        self._stream = call("camera_create_stream", self._camera, None, None)
        if not self._stream:
            raise SourceError(f"{self.chosen.about['model']} delivers no stream: is another program using it?")
        payload = call("camera_get_payload", self._camera)
        for _ in range(max(4, min(int(BUFFERS_S * self.chosen.rate), BUFFERS_MOST // payload))):
            call("stream_push_buffer", self._stream, call("buffer_new_allocate", payload))
        call("camera_start_acquisition", self._camera)

    def _picture(self, buffer: int) -> NDArray[np.uint8]:
        call, size = self._aravis.call, c_size_t()
        data = call("buffer_get_data", buffer, byref(size))
        height, width = call("buffer_get_image_height", buffer), call("buffer_get_image_width", buffer)
        memory = np.ctypeslib.as_array((ctypes.c_uint8 * (height * width)).from_address(data))
        return memory.reshape(height, width).copy()

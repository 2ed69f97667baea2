"""Basler cameras through pypylon, Basler's own library: pip install 'realtime-mer[industrial]'.

pypylon is free of charge but not free software; it includes its license.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Any, Final

import numpy as np

from realtime_mer.errors import SourceError, first_line
from realtime_mer.sources.feed import Source
from realtime_mer.sources.industrial import CameraRequest, Chosen, Grab, address_of, choose_format, open_industrial

BUFFERS: Final = 64
NO_NUMBER: Final = (1 << 64) - 1  # block ID of a camera without frame numbers
NS: Final = 1e9  # default ticks/s


def open_basler(name: str, request: CameraRequest, *, buffer_s: float = 1.0) -> Source:
    """Opens the camera with this serial number, user-defined name or address; "" takes the first one. Raises
    SourceError."""
    named, request = address_of(name, request)
    camera = BaslerCamera(named, request)
    return open_industrial(f"basler:{named or camera.chosen.about['serial']}", camera, buffer_s=buffer_s)


class BaslerCamera:
    """An open, delivering camera."""

    def __init__(self, name: str, request: CameraRequest) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # if warnings are errors, those of its import would end the process
                from pypylon import genicam, pylon
        except ImportError:
            raise SourceError("Basler cameras need pypylon: pip install 'realtime-mer[industrial]'") from None
        self._pylon, self._wrong = pylon, genicam.GenericException
        self._count = 0
        try:
            self._camera: Any = pylon.InstantCamera(self._find(name))
            self._camera.Open()
        except self._wrong as error:
            raise SourceError(f"Basler camera {name}: {first_line(error)}") from None
        try:
            self.chosen = self._set_up(request)
            self._ticks = float(self._value("GevTimestampTickFrequency") or NS)
            self._camera.MaxNumBuffer.Value = BUFFERS
            self._camera.StartGrabbing(pylon.GrabStrategy_OneByOne)
        except self._wrong as error:
            self.close()
            raise SourceError(f"Basler camera {name}: {first_line(error)}") from None
        except BaseException:
            self.close()
            raise

    def grab(self, seconds: float) -> Grab | None:
        """As ``Grabber``."""
        try:
            result = self._camera.RetrieveResult(int(1000 * seconds), self._pylon.TimeoutHandling_Return)
        except self._wrong as error:
            raise SourceError(f"the Basler camera was disconnected: {first_line(error)}") from None
        if not result.IsValid():
            return None
        try:
            picture = np.array(result.Array, np.uint8) if result.GrabSucceeded() else None
            self._count += 1
            number = self._count if result.BlockID == NO_NUMBER else result.BlockID
            return Grab(number, result.TimeStamp / self._ticks if result.TimeStamp else None, picture)
        finally:
            result.Release()

    def close(self) -> None:
        """Stops and releases the camera."""
        camera, self._camera = self._camera, None
        if camera is not None:
            with suppress(self._wrong):
                camera.StopGrabbing()
                camera.Close()

    def _find(self, name: str) -> Any:
        factory = self._pylon.TlFactory.GetInstance()
        devices = factory.EnumerateDevices()
        for device in devices:
            names = (device.GetSerialNumber(), device.GetUserDefinedName(), device.GetFriendlyName())
            address = device.GetIpAddress() if device.IsIpAddressAvailable() else ""
            if not name or name in (*names, address):
                return factory.CreateDevice(device)
        found = ", ".join(device.GetSerialNumber() for device in devices)
        raise SourceError(f"no Basler camera {name}: " + (f"cameras here: {found}" if found else "none was found"))

    def _set_up(self, request: CameraRequest) -> Chosen:
        camera = self._camera
        about = camera.GetDeviceInfo()
        model = about.GetModelName()
        chosen = choose_format(camera.PixelFormat.Symbolics, request.pixel_format, model)
        camera.PixelFormat.Value = chosen
        for side, shift, requested in (("Width", "OffsetX", request.width), ("Height", "OffsetY", request.height)):
            if requested is not None:
                self._crop(side, shift, requested)
        if request.exposure is not None:
            self._set(("ExposureTime", "ExposureTimeAbs"), 1000 * request.exposure)
        exposure = self._value("ExposureTime", "ExposureTimeAbs")
        with suppress(self._wrong, AttributeError):
            camera.AcquisitionFrameRateEnable.Value = True
        fastest = 1e6 / exposure if exposure else float("inf")
        self._set(("AcquisitionFrameRate", "AcquisitionFrameRateAbs"), min(request.fps or float("inf"), fastest))
        rate = self._value("ResultingFrameRate", "ResultingFrameRateAbs", "AcquisitionFrameRateAbs") or 0.0
        named = {"vendor": about.GetVendorName(), "model": model, "serial": about.GetSerialNumber()}
        size = camera.Width.Value, camera.Height.Value
        return Chosen(size, float(rate), exposure / 1000 if exposure else None, chosen, named)

    def _crop(self, side: str, shift: str, requested: int) -> None:
        """Crops to ``requested`` px in the middle of the sensor, in the camera's own steps."""
        node = getattr(self._camera, side)
        with suppress(self._wrong, AttributeError):
            getattr(self._camera, shift).Value = 0
        whole = node.Max
        node.Value = max(min(requested, whole) // node.Inc * node.Inc, node.Min)
        with suppress(self._wrong, AttributeError):
            offset = getattr(self._camera, shift)
            offset.Value = (whole - node.Value) // 2 // offset.Inc * offset.Inc

    def _value(self, *names: str) -> float | None:
        """The value of the first of these settings that the camera has."""
        for name in names:
            with suppress(self._wrong, AttributeError):
                return float(getattr(self._camera, name).Value)
        return None

    def _set(self, names: tuple[str, ...], value: float) -> None:
        """Sets the first of these that the camera has, within its range."""
        for name in names:
            with suppress(self._wrong, AttributeError):
                node = getattr(self._camera, name)
                node.Value = min(max(value, node.Min), node.Max)
                return

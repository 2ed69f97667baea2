"""The WebSocket between the live page and its viewer. One connection, one Viewer; both end together.

The page sends {"type": "start", ...}, then for the browser's camera binary packets (``browser``), and "recalibrate" or
"stop". It gets JSON messages (``messages``), and for cameras of the server JPEG pictures as binary. See docs/app.md.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime_mer.app.browser import BrowserCamera
from realtime_mer.app.settings import VIEWERS, AppSettings, address, viewer_config
from realtime_mer.app.viewer import Viewer
from realtime_mer.build import build
from realtime_mer.errors import ConfigError, MerError
from realtime_mer.sources import open_source
from realtime_mer.typed import convert, from_json

MESSAGES_S: Final = 1 / 30  # how often the page gets news
PREVIEW_EVERY: Final = 2  # news: 15 pictures a second of a camera of the server
TEXT_BYTES: Final = 4096  # of a message from the page


class Live:
    """Serves the connections of one app, at most VIEWERS at a time."""

    def __init__(self, settings: AppSettings) -> None:
        self._settings = settings
        self.viewers: set[Viewer] = set()

    async def serve(self, socket: WebSocket) -> None:
        """One page, from its opening to its end."""
        if not same_origin(socket):
            await socket.close(code=1008)  # another site's script may not use the cameras
            return
        await socket.accept()
        viewer: Viewer | None = None
        pump: asyncio.Task[None] | None = None
        try:
            wishes = _read(await _text(socket))
            camera = BrowserCamera() if wishes.get("source") == "browser" else None
            viewer = self._viewer(wishes, camera)
            self.viewers.add(viewer)
            viewer.start()
            pump = asyncio.create_task(_pump(socket, viewer, previews=camera is None))
            await self._listen(socket, viewer, camera)
        except (MerError, ValueError) as error:
            text = str(error) if isinstance(error, MerError) else "the page sent something that is not understood"
            with suppress(RuntimeError, WebSocketDisconnect):
                await socket.send_text(json.dumps({"type": "error", "text": text}))
                await socket.close()
        except WebSocketDisconnect:
            pass
        finally:
            if pump is not None:
                pump.cancel()
            if viewer is not None:
                await asyncio.shield(asyncio.to_thread(viewer.close))
                self.viewers.discard(viewer)

    def _viewer(self, wishes: dict[str, Any], camera: BrowserCamera | None) -> Viewer:
        if wishes.get("type") != "start" or wishes.get("consent") is not True:
            raise ConfigError("everybody in the picture must have agreed before a camera starts")
        if len(self.viewers) >= VIEWERS:
            raise ConfigError(f"{VIEWERS} people use this server now, which is all that it can serve: try again later")
        config = viewer_config(wishes, self._settings)
        private = wishes.get("private") is True
        if camera is not None:
            return Viewer(camera.open, build, config, private=private)
        uri = address(wishes.get("address", ""), self._settings)
        return Viewer(lambda: open_source(uri), build, config, private=private)

    async def _listen(self, socket: WebSocket, viewer: Viewer, camera: BrowserCamera | None) -> None:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                if camera is not None:
                    camera.stop()
                return
            if (packet := message.get("bytes")) is not None:
                if camera is not None:
                    camera.push(packet)
                continue
            order = _read(str(message.get("text") or ""))
            if order.get("type") == "recalibrate":
                viewer.recalibrate(viewer_config(order, self._settings))
            elif order.get("type") == "stop":
                if camera is not None:
                    camera.stop()
                await asyncio.to_thread(viewer.stop)


def _read(text: str) -> dict[str, Any]:
    return convert(from_json(text[:TEXT_BYTES]), dict[str, Any])


async def _text(socket: WebSocket) -> str:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    return str(message.get("text") or "")


async def _pump(socket: WebSocket, viewer: Viewer, *, previews: bool) -> None:
    """Sends the viewer's news until its thread has ended and all is told; then closes the connection."""
    turn = 0
    with suppress(RuntimeError, WebSocketDisconnect):
        while True:
            done = viewer.done
            for message in viewer.take():
                await socket.send_text(json.dumps(message))
            if done:
                await socket.close()
                return
            turn += 1
            if previews and turn % PREVIEW_EVERY == 0 and (picture := await asyncio.to_thread(viewer.preview)):
                await socket.send_bytes(picture)
            await asyncio.sleep(MESSAGES_S)


def same_origin(socket: WebSocket) -> bool:
    """Whether the page was served by this server. Programs that are no browsers send no Origin."""
    origin = socket.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == socket.headers.get("host")

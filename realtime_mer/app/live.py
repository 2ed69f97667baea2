"""The WebSocket between the live page and its run. A run outlives a broken connection.

The page sends {"type": "start", ...} or {"type": "resume", "id": ...}, then binary packets of the browser's camera
(``browser``), and requests such as "recalibrate", "record", "marker" or "stop". It gets JSON messages (``messages``)
and, for cameras of the server, JPEG frames. See docs/app.md.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime_mer.app.browser import BrowserCamera
from realtime_mer.app.guard import owner_in
from realtime_mer.app.jobs import Jobs
from realtime_mer.app.settings import AWAY_S, VIEWERS, AppSettings, address, viewer_config
from realtime_mer.app.viewer import LATE_S, Viewer
from realtime_mer.assets import face_model
from realtime_mer.build import build
from realtime_mer.errors import ConfigError, MerError
from realtime_mer.sinks.jsonl import Anchor, iso
from realtime_mer.sources import open_source
from realtime_mer.typed import convert, from_json

MESSAGES_S: Final = 1 / 30  # interval between updates of the page
PREVIEW_EVERY: Final = 2  # updates: 15 frames/s of a camera of the server
TEXT_BYTES: Final = 4096  # of a message from the page
FIRST_S: Final = 15.0  # time limit for the first message of a connection
SEND_S: Final = 20.0  # time limit for a page to take a message
TAKEN_OVER: Final = 4000  # close code when another page of the owner has resumed the run
KEPT_S: Final = 30 * 60.0  # how long the log of an ended run is kept
CALIBRATE_S: Final = (5.0, 120.0)
NOTE: Final = 200  # characters of a marker


class Run:
    """A viewer and the state of its pages. camera: the browser's, None if the server captures."""

    def __init__(self, viewer: Viewer, camera: BrowserCamera | None) -> None:
        self.viewer, self.camera = viewer, camera
        self.socket: WebSocket | None = None
        self.left = time.monotonic()  # when its page disconnected
        self.saved = 0  # characters of the log that the owner has saved
        self.leaving: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Ends the capture; waits for the thread."""
        if self.camera is not None:
            self.camera.stop()
        self.viewer.close()


class Live:
    """Serves the connections of one app, at most VIEWERS runs at a time."""

    def __init__(self, settings: AppSettings, jobs: Jobs, *, away_s: float = AWAY_S) -> None:
        self._settings, self._jobs, self._away_s = settings, jobs, away_s
        self._runs: dict[str, Run] = {}

    @property
    def viewers(self) -> list[Viewer]:
        """The viewers that are running."""
        return [run.viewer for run in self._runs.values() if not run.viewer.done]

    def routes(self) -> list[Route]:
        """Routes below /live: the runs of an owner, and the log of one."""
        return [
            Route("/live/runs", self.list, methods=["GET"]),
            Route("/live/runs/{id}/events.jsonl", self.log, methods=["GET"]),
        ]

    async def list(self, request: Request) -> Response:
        """Whether a run can start now, where its events go, and the owner's runs that can be resumed or saved."""
        owner = owner_in(request.scope)
        self._jobs.seen(owner)
        self._tidy()
        try:
            await asyncio.to_thread(face_model)
            missing = ""
        except MerError as error:
            missing = str(error)
        own = [
            {
                "id": run.viewer.id,
                "running": not run.viewer.done,
                "browser": run.camera is not None,
                "private": run.viewer.private,
                "unsaved": len(run.viewer.history) if len(run.viewer.log) > run.saved else 0,
                "events": list(run.viewer.history) if run.viewer.done else [],
            }
            for run in self._runs.values()
            if run.viewer.owner == owner
        ]
        facts = {"missing": missing, "runs": own, "targets": [target.name for target in self._settings.targets]}
        return JSONResponse(facts, headers={"Cache-Control": "no-store"})

    async def log(self, request: Request) -> Response:
        """The log of a run so far, for ``realtime-mer report`` and ``convert``."""
        run = self._own(owner_in(request.scope), request.path_params["id"])
        if run is None or not run.viewer.log:
            return PlainTextResponse("this run is no longer here", 404)
        text = run.viewer.log
        run.saved = len(text)
        name = f"live-{datetime.now():%Y-%m-%dT%H-%M-%S}.events.jsonl"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response(text, media_type="application/x-ndjson", headers=headers)

    async def serve(self, socket: WebSocket) -> None:
        """Serves one connection. The run goes on for a while when it breaks."""
        await socket.accept()
        run: Run | None = None
        pump: asyncio.Task[None] | None = None
        stopped = False
        try:
            asked = _read(await _text(socket))
            run = await self._take_up(socket, asked)
            seen = partial(self._jobs.seen, run.viewer.owner)
            pump = asyncio.create_task(_pump(socket, run.viewer, seen, previews=run.camera is None))
            stopped = await self._listen(socket, run)
        except (MerError, ValueError) as error:
            with suppress(RuntimeError, WebSocketDisconnect):
                await socket.send_text(json.dumps({"type": "error", "text": _explained(error)}))
                await socket.close()
        except (WebSocketDisconnect, TimeoutError):
            pass
        finally:
            if pump is not None:
                if stopped:
                    with suppress(TimeoutError, asyncio.CancelledError):
                        await asyncio.wait_for(pump, SEND_S)  # events found at the end are still sent
                pump.cancel()
            if run is not None and run.socket is socket:
                run.socket, run.left = None, time.monotonic()
                run.leaving = asyncio.create_task(self._leave(run))

    def close(self) -> None:
        """The server ends."""
        for run in list(self._runs.values()):
            run.end()

    async def _take_up(self, socket: WebSocket, asked: dict[str, Any]) -> Run:
        """The run that a page asks for: a new one, or its own from before."""
        owner = owner_in(socket.scope)
        if asked.get("type") == "resume":
            run = self._own(owner, str(asked.get("id")))
            if run is None or run.viewer.done:
                raise ConfigError("this run has ended; its events can still be saved")
            before, run.socket = run.socket, socket
            if before is not None:
                with suppress(RuntimeError, WebSocketDisconnect):
                    await before.close(code=TAKEN_OVER)
            for message in run.viewer.resume():
                await socket.send_text(json.dumps(message))
            return run
        self._tidy()
        camera = BrowserCamera(buffer_s=LATE_S) if asked.get("source") == "browser" else None
        run = Run(self._viewer(asked, camera, owner), camera)
        run.socket = socket
        self._runs[run.viewer.id] = run
        run.viewer.start()
        return run

    def _viewer(self, asked: dict[str, Any], camera: BrowserCamera | None, owner: str) -> Viewer:
        if asked.get("type") != "start" or asked.get("consent") is not True:
            raise ConfigError("everyone in view must agree before a camera starts")
        if len(self.viewers) >= VIEWERS:
            raise ConfigError(f"{VIEWERS} people are using this server, its maximum: try again later")
        config = viewer_config(asked, self._settings)
        private = asked.get("private") is True
        if camera is not None:
            anchor = _anchor(asked.get("epoch"))
            return Viewer(
                camera.open, build, config, private=private, owner=owner, anchor=anchor, targets=self._settings.targets
            )
        uri = address(asked.get("address", ""), self._settings)
        return Viewer(
            lambda: open_source(uri, buffer_s=LATE_S),
            build,
            config,
            private=private,
            owner=owner,
            targets=self._settings.targets,
        )

    async def _listen(self, socket: WebSocket, run: Run) -> bool:
        """Handles messages of the page until it stops the run (True) or the connection ends (False)."""
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return False
            if (packet := message.get("bytes")) is not None:
                if run.camera is not None:
                    run.camera.push(packet)
                continue
            try:
                order = _read(str(message.get("text") or ""))
                if order.get("type") == "stop":
                    if run.camera is not None:
                        run.camera.stop()
                    await asyncio.to_thread(run.viewer.stop)
                    return True
                await self._obey(run.viewer, order)
            except (MerError, ValueError) as error:  # the run goes on
                run.viewer.tell({"type": "refused", "text": _explained(error)})

    async def _obey(self, viewer: Viewer, order: dict[str, Any]) -> None:
        match order.get("type"):
            case "recalibrate":
                viewer.recalibrate(viewer_config(order, self._settings))
            case "calibrate":
                seconds = convert(order.get("seconds", 30.0), float)
                viewer.calibrate(min(max(seconds, CALIBRATE_S[0]), CALIBRATE_S[1]))
            case "record":
                name = str(order.get("name") or f"live {datetime.now():%Y-%m-%d %H-%M-%S}")
                job = self._jobs.record(viewer.owner, name, private=viewer.private)
                try:
                    viewer.record(job, video=order.get("video") is True)
                except MerError:
                    await asyncio.to_thread(self._jobs.discard, job)
                    raise
                viewer.tell({"type": "recording", "job": job.id, "name": job.name})
            case "record-stop":
                if (done := await asyncio.to_thread(viewer.keeper.finish)) is not None:
                    viewer.tell({"type": "recorded", "job": done.id, "name": done.name, "error": done.error})
            case "marker":
                at = order.get("time")
                time_s = convert(at, float) if at is not None else None
                if time_s is not None and not math.isfinite(time_s):
                    raise ConfigError("a marker needs a time")
                key, text = str(order.get("key") or "")[:20], str(order.get("text") or "")[:NOTE]
                if (marker := viewer.mark(key, text, time_s)) is not None:
                    viewer.tell({"type": "marker", "time": marker.time, "key": marker.key, "text": marker.text})

    async def _leave(self, run: Run) -> None:
        """Keeps the run of a page that has gone for a while, then ends it."""
        left = run.left
        if not run.viewer.done:
            await asyncio.sleep(self._away_s)
        if run.socket is None and run.left == left:
            await asyncio.to_thread(run.end)

    def _own(self, owner: str, id: str) -> Run | None:
        run = self._runs.get(id)
        return run if run is not None and run.viewer.owner == owner else None

    def _tidy(self) -> None:
        """Removes runs that ended long ago, or whose events are all saved."""
        for run in list(self._runs.values()):
            old = time.monotonic() - run.left > KEPT_S
            if run.viewer.done and run.socket is None and (old or len(run.viewer.log) <= run.saved):
                self._runs.pop(run.viewer.id, None)


def _explained(error: MerError | ValueError) -> str:
    return str(error) if isinstance(error, MerError) else "the page sent an invalid message"


def _anchor(epoch: object) -> Anchor | None:
    """The browser's wall clock at time 0 of its frames; None when it was not sent."""
    try:
        return Anchor(0.0, iso(datetime.fromtimestamp(convert(epoch, float), UTC)), "page")
    except (ValueError, OverflowError, OSError):
        return None


def _read(text: str) -> dict[str, Any]:
    return convert(from_json(text[:TEXT_BYTES]), dict[str, Any])


async def _text(socket: WebSocket) -> str:
    async with asyncio.timeout(FIRST_S):
        message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    return str(message.get("text") or "")


async def _pump(socket: WebSocket, viewer: Viewer, seen: Callable[[], None], *, previews: bool) -> None:
    """Sends the viewer's messages until its thread has ended, then closes the connection. seen: called meanwhile,
    because the page is there."""
    turn = 0
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        while True:
            done = viewer.done
            for message in viewer.take():
                await asyncio.wait_for(socket.send_text(json.dumps(message)), SEND_S)
            if done:
                await socket.close()
                return
            turn += 1
            seen()
            if previews and turn % PREVIEW_EVERY == 0 and (picture := await asyncio.to_thread(viewer.preview)):
                await asyncio.wait_for(socket.send_bytes(picture), SEND_S)
            await asyncio.sleep(MESSAGES_S)

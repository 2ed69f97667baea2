"""The routes below /jobs: uploads, their state, results, clips, reviews. docs/app.md lists them.

Gradio's own uploads and sessions are not used: they are addressed by content and end with the page, while a job belongs
to its owner and survives a reload. ``guard`` decides whether a request is answered at all.
"""

from __future__ import annotations

import asyncio
import mimetypes
import re
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from realtime_mer.app import workbench
from realtime_mer.app.guard import owner_in
from realtime_mer.app.job import CODING, UPLOAD, Job, Options, State
from realtime_mer.app.jobs import Jobs
from realtime_mer.app.settings import sensitivity
from realtime_mer.errors import ConfigError, MerError, OutputError, SourceError
from realtime_mer.review import decisions
from realtime_mer.review.decisions import Decision
from realtime_mer.sinks.place import replace_file
from realtime_mer.typed import convert, from_json

TEXT_BYTES: Final = 16 << 10  # of a request in JSON
CODING_BYTES: Final = 16 << 20
SILENT_S: Final = 30.0  # an upload that stalls this long is cut off; the page continues it when it can
SANDBOX: Final = "sandbox allow-scripts allow-popups"
ALL: Final = "everything.zip"
_PUBLIC: Final = (".json", ".jsonl", ".csv", ".tsv", ".eaf", ".vtt", ".html", ".mp4", ".jpg")
_SHOWN: Final = (".html", ".jpg", ".mp4", ".webm", ".mov", ".m4v")  # files shown in the browser rather than saved
_FILE: Final = re.compile(r"(stills/|clips/)?[A-Za-z0-9][A-Za-z0-9_.-]*")
_CODING: Final = re.compile(r"[A-Za-z0-9_-]{1,40}\.(eaf|csv|tsv)")

Handler = Callable[[Request], Awaitable[Response]]


def routes(jobs: Jobs) -> list[Route]:
    """The routes of one server's jobs."""
    handlers = _Handlers(jobs)
    table: list[tuple[str, str, Handler]] = [
        ("GET", "/jobs", handlers.list),
        ("POST", "/jobs", handlers.begin),
        ("PUT", "/jobs/{id}/upload", handlers.upload),
        ("POST", "/jobs/{id}/stop", handlers.stop),
        ("DELETE", "/jobs/{id}", handlers.remove),
        ("GET", "/jobs/{id}", handlers.result),
        ("GET", "/jobs/{id}/files/{name:path}", handlers.file),
        ("GET", f"/jobs/{{id}}/{ALL}", handlers.everything),
        ("GET", "/jobs/{id}/clip", handlers.clip),
        ("GET", "/jobs/{id}/export/{format}", handlers.export),
        ("GET", "/jobs/{id}/reviews/{coder}", handlers.review),
        ("POST", "/jobs/{id}/reviews/{coder}", handlers.decide),
        ("POST", "/jobs/{id}/reviews/{coder}/undo", handlers.undo),
        ("PUT", "/jobs/{id}/codings/{name}", handlers.coding),
        ("GET", "/jobs/{id}/agreement", handlers.agreement),
    ]
    return [Route(path, _answered(handler), methods=[method]) for method, path, handler in table]


def _answered(handler: Handler) -> Handler:
    """``handler`` with its errors turned into one line: 404, 409 or 400."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except _MissingError:
            return PlainTextResponse("there is no such recording here: it was removed, or belongs to someone else", 404)
        except (MerError, ValueError) as error:
            text = str(error) if isinstance(error, MerError) else f"not understood: {error}"
            return PlainTextResponse(text, 400)
        except ClientDisconnect:
            return Response(status_code=400)

    return answer


class _MissingError(Exception):
    """The job or file does not exist, or belongs to someone else."""


class _Handlers:
    """The handlers of one server's jobs."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def list(self, request: Request) -> Response:
        """All jobs of the owner, with their progress."""
        owner = owner_in(request.scope)
        self._jobs.seen(owner)
        own = [workbench.state(job, self._jobs.position(job)) for job in self._jobs.of(owner)]
        return _json({"jobs": own})

    async def begin(self, request: Request) -> Response:
        """Creates a job: its name, the size of its upload, and the options of the analysis."""
        asked = convert(await _body_json(request), dict[str, Any])
        options = convert(asked.get("options", {}), Options)
        name, size = convert(asked.get("name"), str), convert(asked.get("size"), int)
        if options.enter is not None:
            sensitivity(options.enter)
        return _json(workbench.state(self._jobs.begin(owner_in(request.scope), name, size, options), None), 201)

    async def upload(self, request: Request) -> Response:
        """Appends a part of the upload at byte ``at``. 409 with the number of bytes received when ``at`` does not match
        it."""
        job = self._job(request)
        at = int(request.query_params.get("at", "0"))
        if not job.lock.acquire(blocking=False):  # another part is being received
            return _json({"have": _size(job.upload)}, 409)
        try:
            if job.state is not State.UPLOADING or at != _size(job.upload):
                return _json({"have": _size(job.upload)}, 409)
            have = await _append(request, job)
        finally:
            job.lock.release()
        self._jobs.seen(job.owner)
        if have == job.size:
            self._jobs.uploaded(job)
        return _json({"have": have})

    async def stop(self, request: Request) -> Response:
        self._jobs.halt(job := self._job(request))
        return _json(workbench.state(job, None))

    async def remove(self, request: Request) -> Response:
        await asyncio.to_thread(self._jobs.remove, self._job(request))
        return Response(status_code=204)

    async def result(self, request: Request) -> Response:
        """Everything the workbench shows of an analyzed recording, as far as the coder may see it."""
        job, coder = self._done(request), request.query_params.get("coder")
        return _json(await asyncio.to_thread(workbench.result, job, coder))

    async def file(self, request: Request) -> Response:
        """A file of a job: videos and reports to be shown, everything else to be saved."""
        job, name = self._job(request), request.path_params["name"]
        path = job.folder / name
        shown = path.suffix in _PUBLIC or name == job.upload.name
        if not (_FILE.fullmatch(name) and shown and path.is_file() and not path.is_symlink()):
            raise _MissingError
        inline = path.suffix in _SHOWN and "save" not in request.query_params
        return _sent(path, f"{Path(job.name).stem}.{Path(name).name}", inline)

    async def everything(self, request: Request) -> Response:
        """The job's folder as a .zip, which the Recorded page can open. Without the uploaded video, which its owner
        has."""
        job = self._done(request)
        path = job.folder / f".{ALL}"
        await asyncio.to_thread(_zip, job, path)
        return _sent(path, f"{Path(job.name).stem}.zip", inline=False)

    async def clip(self, request: Request) -> Response:
        """A slow-motion video of some seconds, with its movement magnified on request."""
        job, asked = self._done(request), request.query_params
        numbers = {name: float(asked[name]) for name in ("start", "end", "slow", "magnify") if name in asked}
        path = await asyncio.to_thread(workbench.clip, job, asked.get("event", ""), **numbers)
        return _sent(path, f"{Path(job.name).stem}.{path.name}", inline="save" not in asked)

    async def export(self, request: Request) -> Response:
        """The log in another format, with a coder's corrections on request."""
        job, format = self._done(request), request.path_params["format"]
        path = await asyncio.to_thread(workbench.export, job, format, request.query_params.get("coder"))
        return _sent(path, f"{Path(job.name).stem}.{path.name}", inline=False)

    async def review(self, request: Request) -> Response:
        """The decisions of a coder; begins the review when it is new."""
        job, coder = self._done(request), request.path_params["coder"]
        with job.lock:
            path = decisions.begin(job.log, coder, blind=request.query_params.get("blind") == "yes")
            return _json(workbench.review(decisions.read_review(path)))

    async def decide(self, request: Request) -> Response:
        """Adds a decision of a coder. An event named "new" is a missed one: it gets its number here."""
        job, coder = self._done(request), request.path_params["coder"]
        asked = convert(await _body_json(request), dict[str, Any])
        with job.lock:
            path = decisions.begin(job.log, coder)
            if asked.get("event") == "new":
                asked["event"] = decisions.new_name(path)
            said = decisions.decide(path, convert(asked, Decision))
        return _json({**workbench.review(said), "event": asked["event"]})

    async def undo(self, request: Request) -> Response:
        job, coder = self._done(request), request.path_params["coder"]
        with job.lock:
            return _json(workbench.review(decisions.undo(decisions.begin(job.log, coder))))

    async def coding(self, request: Request) -> Response:
        """Stores a coding of another tool beside the log. Refused when it cannot be read."""
        job, name = self._done(request), request.path_params["name"]
        if not _CODING.fullmatch(name):
            raise ConfigError(
                "the name of a coding must consist of letters, digits, - and _, and end in .eaf, .csv or .tsv"
            )
        content = await _body(request, CODING_BYTES)
        path = job.folder / f"{CODING}{name}"
        await asyncio.to_thread(replace_file, path, content)
        try:
            found = await asyncio.to_thread(workbench.coding, job, path.name)
        except SourceError as error:
            path.unlink(missing_ok=True)
            raise SourceError(str(error).replace(str(path), name)) from None
        return _json({"name": path.name, "events": len(found.marks)}, 201)

    async def agreement(self, request: Request) -> Response:
        job, asked = self._done(request), request.query_params
        return _json(await asyncio.to_thread(workbench.agreement, job, asked.get("a", ""), asked.get("b", "")))

    def _job(self, request: Request) -> Job:
        owner = owner_in(request.scope)
        job = self._jobs.get(owner, request.path_params["id"])
        if job is None:
            raise _MissingError
        self._jobs.seen(owner)
        return job

    def _done(self, request: Request) -> Job:
        job = self._job(request)
        if job.state is not State.DONE:
            raise OutputError(f"{job.name} is not analyzed: {job.error or job.state}")
        return job


def _json(values: Any, status: int = 200) -> Response:
    return JSONResponse(values, status, headers={"Cache-Control": "no-store"})


def _sent(path: Path, name: str, inline: bool) -> Response:
    # a report is sandboxed: its script cannot reach this server
    sandbox = {"Content-Security-Policy": SANDBOX} if path.suffix == ".html" else {}
    return FileResponse(
        path,
        media_type=mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        filename=name,
        content_disposition_type="inline" if inline else "attachment",
        headers={"Cache-Control": "no-store", **sandbox},
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


async def _append(request: Request, job: Job) -> int:
    """Appends the body of a request to a job's upload, as far as it arrives; returns the number of bytes received."""
    have, stream = _size(job.upload), request.stream().__aiter__()
    with open(job.upload, "ab") as file:
        while not job.stop.is_set():
            try:
                async with asyncio.timeout(SILENT_S):
                    piece = await anext(stream)
            except (StopAsyncIteration, TimeoutError):
                break
            if have + len(piece) > job.size:
                break
            await asyncio.to_thread(file.write, piece)
            have += len(piece)
    return have


async def _body(request: Request, most: int) -> bytes:
    """The body of a request. Raises ConfigError when it is too long or incomplete."""
    content = b""
    try:
        async with asyncio.timeout(SILENT_S):
            async for piece in request.stream():
                content += piece
                if len(content) > most:
                    raise ConfigError(f"the request is too large: at most {most >> 10} kB")
    except TimeoutError:
        raise ConfigError("the request was incomplete") from None
    return content


async def _body_json(request: Request) -> Any:
    return from_json((await _body(request, TEXT_BYTES)).decode())


def _zip(job: Job, path: Path) -> None:
    part = path.with_name(path.name + ".part")
    kept = [p for p in sorted(job.folder.rglob("*")) if p.is_file() and not p.is_symlink()]
    folder = re.sub(r"[^\w.-]", "_", Path(job.name).stem) or "recording"
    with job.lock, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for each in kept:
            inside = each.relative_to(job.folder)
            if not each.name.startswith((".", f"{UPLOAD}.")) and inside.parts[0] != workbench.MADE:
                stored = zipfile.ZIP_STORED if each.suffix in (".mp4", ".jpg") else zipfile.ZIP_DEFLATED
                file.write(each, f"{folder}/{inside.as_posix()}", stored)
    part.replace(path)

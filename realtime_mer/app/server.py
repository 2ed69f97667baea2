"""Puts the page, the live WebSocket and the routes of jobs into one web application, and serves it.

``guard`` decides which requests are answered.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from realtime_mer.app.jobs import LINGER_S, Jobs
from realtime_mer.app.settings import AWAY_S, AppSettings, viewer_config
from realtime_mer.errors import OutputError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from realtime_mer.app.benchmark import Benches
    from realtime_mer.app.live import Live

STATIC: Final = Path(__file__).parent / "static"
SCRIPTS: Final = ("live.js", "recorded.js")


@dataclass(frozen=True, slots=True)
class App:
    """A web application and its resources. names: further host names. Close it at the end."""

    web: FastAPI
    live: Live
    jobs: Jobs
    benches: Benches
    names: set[str]

    def close(self) -> None:
        """Stops all work and removes all temporary files."""
        self.benches.close()
        self.live.close()
        self.jobs.close()


def create_app(settings: AppSettings, *, away_s: float = AWAY_S, linger_s: float = LINGER_S) -> App:
    """The web application. Raises ModelError, DeviceError, OutputError.

    away_s: how long a live run waits for a page that has gone. linger_s: how long jobs outlive their owner's pages.
    """
    from realtime_mer.app import analysis
    from realtime_mer.app.guard import Guard

    try:
        import gradio
        import plotly
        from fastapi import FastAPI
        from starlette.responses import FileResponse
        from starlette.staticfiles import StaticFiles

        from realtime_mer.app import benchmark, pages
        from realtime_mer.app.live import Live
        from realtime_mer.app.routes import routes
    except ImportError as error:
        raise OutputError(f"the app needs {error.name}: pip install 'realtime-mer[app]'") from None
    workers = max(1, (os.cpu_count() or 2) // 2)
    jobs = Jobs(
        lambda job: analysis.analyze(job, lambda job: viewer_config({"enter": job.options.enter}, settings)),
        workers=workers,
        linger_s=linger_s,
        keep=settings.keep,
    )
    os.environ["GRADIO_TEMP_DIR"] = str(jobs.root / ".gradio")  # the only way to set it
    live, benches, names = Live(settings, jobs, away_s=away_s), benchmark.Benches(), set[str]()
    try:
        web = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        web.add_middleware(Guard, settings=settings, names=names)
        web.add_api_websocket_route("/live", live.serve)
        web.router.routes += [*live.routes(), *routes(jobs)]
        script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
        web.add_api_route("/mer-static/plotly.js", lambda: FileResponse(script), methods=["GET"])
        web.mount("/mer-static", StaticFiles(directory=STATIC))
        root = settings.root_path
        gradio.mount_gradio_app(
            web,
            pages.build_page(settings, benches),
            path="/",
            server_name=settings.host,
            server_port=settings.port,
            root_path=root or None,
            footer_links=[],
            allowed_paths=[],
            ssr_mode=False,
            show_error=False,
            theme=pages.theme(),
            css_paths=[STATIC / "style.css"],
            head="".join(f'<script type="module" src="{root}/mer-static/{name}"></script>' for name in SCRIPTS),
        )
    except BaseException:
        jobs.close()
        raise
    return App(web, live, jobs, benches, names)


def serve(settings: AppSettings, *, tell: Callable[[str], None] = print) -> None:
    """Serves until interrupted; ``tell`` is called with the address. Raises OutputError when the port is taken."""
    listener = listen(settings.host, settings.port)
    app = create_app(settings)
    import uvicorn

    try:
        port = listener.getsockname()[1]
        name = f"[{settings.host}]" if ":" in settings.host else settings.host
        tell(f"realtime-mer is at http://{name}:{port}{settings.root_path}  (stop with Ctrl+C)")
        if settings.keep is None:
            tell("Recordings and reviews are deleted when the server ends; --keep DIR keeps them.")
        if not settings.loopback:
            who = "with a password" if settings.passwords else "who can reach this address"
            tell(f"Anyone {who} can use it. The people filmed must be told (EU AI Act, Art. 50(3)).")
        if settings.share:
            address = _share(settings.host, port)
            app.names.add(urlsplit(address).netloc.lower())
            tell(f"shared at {address}")
        server = uvicorn.Server(server_config(app.web, settings.root_path))
        # uvicorn shuts down and then raises the signal again; the uploads must still be removed
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    finally:
        listener.close()
        app.close()


def server_config(web: Any, root_path: str = "") -> Any:
    """Settings of uvicorn: no compression, since JPEGs do not compress further, and the packet size that ``browser``
    accepts."""
    import uvicorn

    from realtime_mer.app.browser import PACKET_BYTES

    return uvicorn.Config(
        web,
        log_level="warning",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=PACKET_BYTES,
        root_path=root_path,
        timeout_graceful_shutdown=3,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OutputError."""
    listener: socket.socket | None = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        if listener is not None:
            listener.close()
        where = f"{host}:{port} ({error.strerror})"
        raise OutputError(f"cannot listen on {where}: choose another --port or --host") from None
    return listener


def _share(host: str, port: int) -> str:
    """The public address of Gradio's relay, which forwards to this server. Raises OutputError."""
    import secrets

    from gradio.networking import setup_tunnel

    try:
        return setup_tunnel(host, port, secrets.token_urlsafe(32), None, None)
    except Exception as error:  # it raises plain exceptions
        raise OutputError(f"Gradio's relay is not available ({error}): start without --share") from None

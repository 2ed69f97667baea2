"""Puts the page, the live WebSocket and the result files into one web application, and serves it.

What a request may touch is decided here: pages of other sites, file paths and external addresses are refused.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from realtime_mer.app.recorded import Sessions
from realtime_mer.app.settings import UPLOAD_BYTES, AppSettings
from realtime_mer.errors import OutputError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from realtime_mer.app.live import Live

STATIC: Final = Path(__file__).parent / "static"
LIVE_PATH: Final = "/live"
# Nothing but this server is asked for anything: Gradio's page would otherwise look for fonts and images elsewhere.
POLICY: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; connect-src 'self' ws: wss: blob: data:; "
    "frame-ancestors 'self'; base-uri 'self'; form-action 'self'; object-src 'none'"
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """ASGI middleware: refuses foreign hosts on a loopback server and Gradio's proxy for addresses; sets the policy."""

    def __init__(self, app: Asgi, settings: AppSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if not self._allowed(scope):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"refused"})
            return

        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        await self._app(scope, receive, with_policy)

    def _allowed(self, scope: Scope) -> bool:
        path = scope["path"].lower()
        if "/file=http" in path or "/proxy=" in path:
            return False  # Gradio would fetch the address for the viewer
        if not self._settings.loopback:
            return True
        # a foreign name that resolves to this machine (DNS rebinding) would make another site's script same-origin
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
        return name in ("127.0.0.1", "localhost", "[::1]", self._settings.host)


def create_app(settings: AppSettings) -> tuple[FastAPI, Live, Sessions]:
    """The web application with its live viewers and its recorded sessions. Raises ModelError, DeviceError, OutputError.

    Points Gradio's uploads to a private temporary folder by this process's environment: Gradio has no other way.
    Call ``Sessions.close`` at the end.
    """
    root = Path(tempfile.mkdtemp(prefix="realtime-mer-"))
    os.environ["GRADIO_TEMP_DIR"] = str(root / "uploads")
    try:
        import gradio
        from fastapi import FastAPI
        from starlette.staticfiles import StaticFiles

        from realtime_mer.app import pages
        from realtime_mer.app.live import Live
    except ImportError as error:
        shutil.rmtree(root, ignore_errors=True)
        raise OutputError(f"the app needs {error.name}: pip install 'realtime-mer[app]'") from None
    live, sessions = Live(settings), Sessions(root)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, settings=settings)
    app.add_api_websocket_route(LIVE_PATH, live.serve)
    app.mount("/mer-static", StaticFiles(directory=STATIC))
    app.add_api_route("/results/{token}/{name}", sessions.serve, methods=["GET", "HEAD"])
    blocks = pages.build_page(settings, sessions)
    gradio.mount_gradio_app(
        app,
        blocks,
        path="/",
        server_name=settings.host,
        server_port=settings.port,
        footer_links=[],
        allowed_paths=[],
        max_file_size=UPLOAD_BYTES,
        ssr_mode=False,
        show_error=False,
        theme=pages.theme(),
        css_paths=[STATIC / "style.css"],
        head='<script type="module" src="/mer-static/live.js"></script>',
    )
    return app, live, sessions


def serve(settings: AppSettings, *, tell: Callable[[str], None] = print) -> None:
    """Serves until interrupted; ``tell`` gets the address. Raises OutputError when the port is taken."""
    listener = listen(settings.host, settings.port)
    app, _, sessions = create_app(settings)
    import uvicorn

    try:
        port = listener.getsockname()[1]
        name = f"[{settings.host}]" if ":" in settings.host else settings.host
        tell(f"realtime-mer is at http://{name}:{port}  (stop with Ctrl+C)")
        if not settings.loopback:
            tell("Anybody who reaches this address can use it. Who is filmed must be told (EU AI Act, Art. 50(3)).")
        if settings.share:
            tell(f"shared at {_share(settings.host, port)}")
        server = uvicorn.Server(server_config(app))
        # uvicorn ends in order and then raises the signal again, which must not keep the uploads from being removed
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    finally:
        listener.close()
        sessions.close()


def server_config(app: Any) -> Any:
    """How uvicorn is run: JPEGs do not compress further, and a packet is at most what ``browser`` takes."""
    import uvicorn

    from realtime_mer.app.browser import PACKET_BYTES

    return uvicorn.Config(
        app,
        log_level="warning",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=PACKET_BYTES,
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
    except Exception as error:  # it raises plain ones
        raise OutputError(f"Gradio's relay cannot be used ({error}): start without --share") from None

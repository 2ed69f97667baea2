"""Decides which requests are answered: one place for every method and for sockets, before Gradio and our own routes.

It refuses host names that are not this server's (DNS rebinding), requests by scripts of other sites (by Origin and
Sec-Fetch-Site), Gradio's access to files and to other machines, and, where passwords are set, requests without one.
Each browser gets a token in a cookie; its jobs are known by the hash of the token.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import json
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import urlsplit

from realtime_mer.app.settings import AppSettings
from realtime_mer.errors import first_line

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE: Final = "mer-owner"
COOKIE_S: Final = 365 * 24 * 3600
BODY_BYTES: Final = 16 << 20  # of a request to Gradio: the largest is a stored benchmark result
BODY_S: Final = 30.0  # time limit for a request to arrive
WRONG_S: Final = 0.5  # delay before the answer to a wrong password
_NO_FILES: Final = "refused: this server does not open files or addresses this way"
_OTHER_SITE: Final = "refused: the request came from another site's page"
_LOG: Final = logging.getLogger(__name__)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
# Gradio's access to the server's files and to other machines; nothing on the page uses it.
_CLOSED: Final = re.compile(r"/(file|proxy)=|/gradio_api/(upload|file|proxy|component_server|stream|deep_link|vibe)")
_OWN: Final = ("/jobs", "/live", "/mer-static")
# Gradio's own scripts need inline scripts and eval, so the policy does not stop a script that got in. It keeps the page
# from contacting other hosts and from being framed.
POLICY: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; connect-src 'self' {sockets} blob: data:; "
    "frame-ancestors 'self'; base-uri 'self'; form-action 'self'; object-src 'none'"
)
HEADERS: Final = (
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=(), display-capture=(), usb=(), payment=()"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Guard:
    """ASGI middleware. names: further host names of the server, such as that of Gradio's relay."""

    def __init__(self, app: Asgi, settings: AppSettings, names: set[str] | None = None) -> None:
        self._app, self._settings = app, settings
        self._names = names if names is not None else set()
        self._signed_in: set[str] = set()  # owners whose password was right: a socket cannot always send it again

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        why = self._refusal(scope, headers)
        if why is not None:
            await _refuse(scope, send, 403, why)
            return
        token = owner_of(headers.get("cookie", ""))
        owner = token or secrets.token_urlsafe(32)
        if self._settings.passwords and not await self._known(headers, token, owner):
            await _refuse(
                scope, send, 401, "enter your name and password", (b"www-authenticate", b"Basic charset=UTF-8")
            )
            return
        scope.setdefault("state", {})["owner"] = hashlib.sha256(owner.encode()).hexdigest()
        if scope["type"] == "http" and scope["method"] == "POST" and not self._path(scope).startswith(_OWN):
            body = await _body(receive)
            if body is None or _names_a_file(body):
                await _refuse(scope, send, 403, _NO_FILES)
                return
            receive = _again(body, receive)
        new = None if token is not None else self._cookie(scope, headers, owner)
        await self._answer(scope, receive, send, headers.get("host", ""), new)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, host: str, cookie: str | None) -> None:
        policy = POLICY.format(sockets=f"ws://{host} wss://{host}" if re.fullmatch(r"[\w.:\[\]-]+", host) else "")
        more = [*HEADERS, (b"content-security-policy", policy.encode("latin-1"))]
        if cookie is not None:
            more.append((b"set-cookie", cookie.encode("latin-1")))
        begun = False

        async def with_headers(message: Any) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except Exception as error:  # what a viewer sends must not fill the server's log, nor reveal internals
            _LOG.error("%s: %s", scope["path"][:100], first_line(error))
            if scope["type"] == "http" and not begun:
                await _refuse(scope, send, 500, f"an internal error ({type(error).__name__})")

    def _path(self, scope: Scope) -> str:
        return str(scope["path"]).removeprefix(self._settings.root_path)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> str | None:
        path = scope["path"].lower()
        if _CLOSED.search(path) and not self._path(scope).startswith(_OWN):
            return _NO_FILES
        host = headers.get("host", "")
        if not self._goes_by(_name(host)):
            return f"this server has no host name {_name(host)!r}: start it with --allowed-host to add the name"
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        safe = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        opened = safe and headers.get("sec-fetch-mode") == "navigate"  # a link from elsewhere may be followed
        netloc = urlsplit(origin or "").netloc.lower()
        own = origin is None or netloc == host.lower() or _name(netloc) in self._settings.allowed_hosts
        if not own and not (opened and origin == "null"):
            return _OTHER_SITE
        if site not in ("same-origin", "none") and not opened:
            return _OTHER_SITE
        return None

    def _goes_by(self, name: str) -> bool:
        """Whether a Host header names this server. Only names can be rebound, addresses cannot, so a server for the
        network answers to any address."""
        settings = self._settings
        if name in {"localhost", settings.host.lower(), *settings.allowed_hosts, *self._names}:
            return True
        try:
            address = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return address.is_loopback or not settings.loopback

    async def _known(self, headers: dict[str, str], token: str | None, owner: str) -> bool:
        if token is not None and token in self._signed_in:
            return True
        kind, _, encoded = headers.get("authorization", "").partition(" ")
        if kind.lower() != "basic":
            return False
        try:
            name, _, given = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            name, given = "", ""
        right = self._settings.passwords.get(name)
        if secrets.compare_digest((right or secrets.token_hex()).encode(), given.encode()) and right is not None:
            self._signed_in.add(owner)
            return True
        await asyncio.sleep(WRONG_S)
        return False

    def _cookie(self, scope: Scope, headers: dict[str, str], owner: str) -> str:
        secure = scope.get("scheme") in ("https", "wss") or headers.get("x-forwarded-proto") == "https"
        path = self._settings.root_path or "/"
        text = f"{COOKIE}={owner}; Path={path}; Max-Age={COOKIE_S}; HttpOnly; SameSite=Strict"
        return text + "; Secure" if secure else text


def owner_of(cookies: str) -> str | None:
    """The owner's token in a Cookie header, None when it holds none that this server could have set."""
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None and _TOKEN.fullmatch(found.value) else None


def owner_in(scope: Scope) -> str:
    """The owner of a request or a socket, as noted by this guard."""
    return str(scope["state"]["owner"])


async def _refuse(scope: Scope, send: Send, status: int, why: str, *headers: tuple[bytes, bytes]) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    more = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": more})
    await send({"type": "http.response.body", "body": why.encode(errors="backslashreplace")})


async def _body(receive: Receive) -> bytes | None:
    """The whole body of a request; None when it is too long or late."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > BODY_BYTES:
                    return None
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        return None


def _again(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that returns the body again, then what comes after it."""
    given = False

    async def give() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give


def _names_a_file(body: bytes) -> bool:
    """Whether JSON for Gradio names a file or an address, which Gradio would fetch. No part of the page needs one."""
    if not body.strip():
        return False
    try:
        level: list[Any] = [json.loads(body)]
    except (ValueError, RecursionError):
        return True  # Gradio is sent nothing but JSON
    while level:
        for item in level:
            if isinstance(item, dict) and (item.get("path") is not None or item.get("url") is not None):
                return True
        inner = [list(item.values()) if isinstance(item, dict) else item for item in level]
        level = [value for values in inner if isinstance(values, list) for value in values]
    return False


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip(".")

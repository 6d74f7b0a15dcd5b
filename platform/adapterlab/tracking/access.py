"""Who may look at the MLflow UI: whoever has its token, as with Jupyter.

MLflow's server asks nobody on loopback for anything, and every user of a machine reaches every loopback port. So
``platform ui`` makes a token for each start, prints links that hold it, and wraps the server in :class:`WithToken`.
A browser that came through such a link is known by a cookie from then on.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

TOKEN_VARIABLE = "ADAPTERLAB_UI_TOKEN"  # noqa: S105 - its name, not its value
"""Environment variable of the server: the token it asks for; none where it is not set."""

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Any, Receive, Send], Awaitable[None]]

_OPEN = frozenset({"/health", "/version"})
"""What is answered to all: whether the server is up, which programs ask before anything else."""
_REFUSAL = (
    "This MLflow UI answers only to those who have its token.\n\n"
    "In a browser: open the link that `platform ui` printed.\n"
    "In a program: set MLFLOW_TRACKING_TOKEN to what follows `token=` in that link.\n"
)


def new_token() -> str:
    """Return a token that nobody can guess, of 43 characters that mean nothing in a URL."""
    return secrets.token_urlsafe(32)


class WithToken:
    """An ASGI application that passes on what comes with a token, and refuses all else with 401.

    The token is taken from ``/?token=…``, which is answered with a cookie and the page without it, from that
    cookie, or from ``Authorization: Bearer …``, which MLflow's client sends for ``MLFLOW_TRACKING_TOKEN``.

    Args:
        app: The application behind it.
        token: What one must have.
    """

    def __init__(self, app: Application, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in _OPEN):
            await self._app(scope, receive, send)
        elif self._is_in_the_query(scope):
            await self._welcome(scope, send)
        elif any(map(self._is_right, _offered(scope))):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4401})
        else:
            plain = (b"content-type", b"text/plain; charset=utf-8")
            await _answer(send, 401, [plain, (b"www-authenticate", b"Bearer")], _REFUSAL.encode())

    def _is_right(self, offered: str) -> bool:
        return secrets.compare_digest(offered.encode(), self._token.encode())

    def _is_in_the_query(self, scope: Message) -> bool:
        if (scope["type"], scope.get("method"), scope["path"]) != ("http", "GET", "/"):
            return False  # the UI has one page; its views are behind the `#`
        return any(name == "token" and self._is_right(value) for name, value in _query(scope))

    async def _welcome(self, scope: Message, send: Send) -> None:
        """Send the browser to the page without the token, which would stay in its history; it keeps the ``#``."""
        rest = urlencode([(name, value) for name, value in _query(scope) if name != "token"])
        scope["query_string"] = rest.encode()  # the server writes it to its log
        # Lax: a click on a link elsewhere may open the page, but no other site can send anything in the user's name.
        cookie = f"{_cookie_name(scope)}={self._token}; Path=/; HttpOnly; SameSite=Lax"
        headers = [(b"location", f"/?{rest}".rstrip("?").encode()), (b"set-cookie", cookie.encode())]
        await _answer(send, 303, headers, b"")


def _offered(scope: Message) -> Iterator[str]:
    """Yield the tokens a request carries in its headers."""
    for name, value in scope["headers"]:
        text = value.decode("latin-1")
        if name == b"authorization" and text.lower().startswith("bearer "):
            yield text[len("bearer ") :].strip()
        if name == b"cookie":
            cookies: SimpleCookie = SimpleCookie()
            try:
                cookies.load(text)
            except CookieError:
                continue
            if (found := cookies.get(_cookie_name(scope))) is not None:
                yield found.value


def _cookie_name(scope: Message) -> str:
    # Browsers send a host's cookies to all of its ports.
    return f"adapterlab-ui-{(scope.get('server') or ('', 0))[1]}"


def _query(scope: Message) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})

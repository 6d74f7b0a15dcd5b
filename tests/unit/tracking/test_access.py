"""Who has the token gets in, whoever has not gets one sentence, and the token leaves the address."""

from __future__ import annotations

import asyncio

import pytest

from adapterlab.tracking.access import WithToken, new_token

TOKEN = new_token()
OTHER = new_token()


def _ask(path="/", *, query="", headers=(), kind="http", method="GET", port=5000):
    """Send one request; return whether it got through, the status, the headers and the body."""
    through: list[str] = []
    sent: list[dict] = []

    async def behind(scope, receive, send):
        through.append(scope["path"])

    async def send(message):
        sent.append(message)

    scope = {
        "type": kind,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name, value.encode()) for name, value in headers],
        "server": ("127.0.0.1", port),
    }
    scope |= {"method": method} if kind == "http" else {}
    asyncio.run(WithToken(behind, TOKEN)(scope, None, send))
    return bool(through), sent, scope


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", f"Bearer {TOKEN}")],
        [(b"authorization", f"bearer  {TOKEN} ")],
        [(b"cookie", f"theme=dark; adapterlab-ui-5000={TOKEN}")],
        [(b"cookie", f"adapterlab-ui-5001={OTHER}; adapterlab-ui-5000={TOKEN}")],
        [(b"authorization", "Bearer of somebody else"), (b"cookie", f"adapterlab-ui-5000={TOKEN}")],
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_token_in_a_header_lets_in(headers, kind):
    assert _ask("/api/2.0/mlflow/runs/search", headers=headers, kind=kind, method="POST")[0]


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"query": f"token={OTHER}"},
        {"query": "token="},
        {"query": f"tokens={TOKEN}"},
        {"query": f"token={TOKEN}", "method": "POST"},
        {"query": f"token={TOKEN}", "path": "/api/2.0/mlflow/runs/search"},
        {"headers": [(b"authorization", f"Basic {TOKEN}")]},
        {"headers": [(b"authorization", "Bearer ")]},
        {"headers": [(b"authorization", "Bearer é")]},
        {"headers": [(b"cookie", f"adapterlab-ui-5001={TOKEN}")]},
        {"headers": [(b"cookie", 'adapterlab-ui-5000=;;=,"')]},
        {"path": "/healthy"},
    ],
)
def test_all_else_is_refused_with_a_sentence(request_):
    got_in, (start, body), _ = _ask(**request_)
    assert (got_in, start["status"]) == (False, 401)
    assert b"platform ui" in body["body"]
    assert TOKEN.encode() not in body["body"]


def test_a_socket_without_the_token_is_closed():
    assert _ask(kind="websocket")[:2] == (False, [{"type": "websocket.close", "code": 4401}])


@pytest.mark.parametrize("path", ["/health", "/version"])
def test_whether_it_is_up_may_be_asked_by_all(path):
    assert _ask(path)[0]


@pytest.mark.parametrize(("more", "rest"), [("", ""), ("&o=1&q=a%20b", "?o=1&q=a+b")])
def test_a_link_sets_a_cookie_and_takes_the_token_out_of_the_address(more, rest):
    got_in, (start, _), scope = _ask(query=f"token={TOKEN}{more}")
    headers = dict(start["headers"])
    assert (got_in, start["status"], headers[b"location"].decode()) == (False, 303, f"/{rest}")
    cookie, *attributes = headers[b"set-cookie"].decode().split("; ")
    assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Lax"}
    assert _ask(headers=[(b"cookie", cookie)])[0]
    assert TOKEN.encode() not in scope["query_string"], "the server's log shows it"


def test_tokens_are_not_made_twice():
    assert len({new_token() for _ in range(100)}) == 100

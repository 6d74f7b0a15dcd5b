"""The page gets one script more; everything else passes through untouched."""

from __future__ import annotations

import asyncio

import pytest

from adapterlab.tracking.app import WithFirstChoices

PAGE = b"<!doctype html><html><head><title>MLflow</title></head><body></body></html>"


def _ask(
    path: str = "/", *, status: int = 200, kind: bytes = b"text/html; charset=utf-8", method: str = "GET"
):
    """Send one request through; return what the inner application saw and what the browser got."""
    seen: list[dict] = []
    sent: list[dict] = []

    async def page(scope, receive, send):
        seen.append(scope)
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(PAGE)), (b"etag", b"old")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": PAGE[:20], "more_body": True})
        await send({"type": "http.response.body", "body": PAGE[20:]})

    async def send(message):
        sent.append(message)

    headers = [(b"if-none-match", b"old"), (b"host", b"127.0.0.1")]
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    asyncio.run(WithFirstChoices(page)(scope, None, send))
    return seen[0], sent[0], b"".join(message["body"] for message in sent[1:])


def test_page_gets_the_script_before_any_other():
    seen, start, body = _ask()
    assert body.startswith(b"<!doctype html><html><head><script>")
    assert body.endswith(PAGE.partition(b"<head>")[2])
    headers = dict(start["headers"])
    assert int(headers[b"content-length"]) == len(body)
    assert b"etag" not in headers, "the old page's name does not fit any more"
    assert seen["headers"] == [(b"host", b"127.0.0.1")], "a page the browser kept has no script"


@pytest.mark.parametrize(
    "request_",
    [
        {"path": "/api/2.0/mlflow/runs/search"},
        {"path": "/", "status": 403},
        {"path": "/", "kind": b"text/plain"},
        {"path": "/", "method": "POST"},
    ],
)
def test_all_else_passes_through(request_):
    _, start, body = _ask(**request_)
    assert body == PAGE
    assert (b"etag", b"old") in start["headers"]

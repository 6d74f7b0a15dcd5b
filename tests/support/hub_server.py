"""A server on loopback that answers as the hub does for one repository: a model or a data set."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REVISION = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".parquet")
"""Files kept on another host, under their sha256."""


@dataclass
class Hub:
    """A server that answers as the hub does for one repository."""

    files: dict[str, bytes]
    repository: str = "tiny/bert"
    kind: str = "models"
    """``"models"`` or ``"datasets"``."""
    fault: str | None = None
    """``"401"``, ``"404"``, ``"404 revision"``, ``"403 gated"``, ``"429"``, ``"500"``, ``"half"``,
    ``"other"`` (large files arrive with another content)."""
    requests: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    url: str = ""


class _Answers(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""

    def _answer(self, *, body: bool) -> None:
        hub = self.hub
        path = self.path.partition("?")[0]
        hub.requests.append(f"{self.command} {path}")
        hub.tokens.add(self.headers.get("Authorization", ""))
        if self._refused():
            return
        api, resolve = f"/api/{hub.kind}/{hub.repository}", f"/{hub.repository}/resolve/{REVISION}/"
        resolve = f"/{hub.kind}{resolve}" if hub.kind == "datasets" else resolve
        if path == f"{api}/revision/{REVISION}":
            names = [{"rfilename": name} for name in hub.files]
            self._json(
                {
                    "_id": "1",
                    "id": hub.repository,
                    "modelId": hub.repository,
                    "sha": REVISION,
                    "siblings": names,
                }
            )
        elif path == f"{api}/tree/{REVISION}":
            self._json([self._entry(name) for name in hub.files])
        elif path.startswith(resolve):
            self._resolve(path.removeprefix(resolve), body=body)
        elif path.startswith("/cdn/"):
            content = hub.files[path.removeprefix("/cdn/")]
            self._send(content[::-1] if hub.fault == "other" else content, body=body)
        else:
            self._error(404, "RepoNotFound", "Repository not found")

    def _refused(self) -> bool:
        fault = self.hub.fault
        answers = {
            "401": (401, "RepoNotFound", "Invalid username or password."),
            "404": (404, "RepoNotFound", "Repository not found"),
            "404 revision": (404, "RevisionNotFound", "Invalid rev id"),
            "403 gated": (403, "GatedRepo", "Access to this model is restricted"),
            "429": (429, "", "Too many requests"),
            "500": (500, "", "Internal error"),
        }
        if fault in answers:
            self._error(*answers[fault])
            return True
        return False

    def _entry(self, name: str) -> dict[str, Any]:
        content = self.hub.files[name]
        entry: dict[str, Any] = {"type": "file", "oid": _git_sha(content), "size": len(content), "path": name}
        if name.endswith(LARGE):
            entry["lfs"] = {"oid": _sha256(content), "size": len(content), "pointerSize": 134}
        return entry

    def _resolve(self, name: str, *, body: bool) -> None:
        content = self.hub.files.get(name)
        if content is None:
            self._error(404, "EntryNotFound", "Entry not found")
            return
        headers = {"X-Repo-Commit": REVISION, "Accept-Ranges": "bytes"}
        if name.endswith(LARGE):  # large files are on another host: the hub redirects
            elsewhere = self.hub.url.replace("127.0.0.1", "localhost")
            headers |= {"X-Linked-Etag": f'"{_sha256(content)}"', "X-Linked-Size": str(len(content))}
            headers |= {"Location": f"{elsewhere}/cdn/{name}", "Content-Length": "0"}
            self._head(302, headers)
            return
        self._send(content, body=body, headers=headers | {"ETag": f'"{_git_sha(content)}"'})

    def _send(self, content: bytes, *, body: bool, headers: dict[str, str] | None = None) -> None:
        start = 0
        wanted = self.headers.get("Range")
        if wanted:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        part = content[start:]
        answer = {"Content-Length": str(len(part)), **(headers or {})}
        if wanted:
            answer["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._head(206 if wanted else 200, answer)
        if body:
            half = self.hub.fault == "half" and self.path.endswith(LARGE)
            self.wfile.write(part[: len(part) // 2] if half else part)
            if half:
                self.close_connection = True

    def _json(self, value: Any) -> None:
        content = json.dumps(value).encode()
        self._head(200, {"Content-Type": "application/json", "Content-Length": str(len(content))})
        self.wfile.write(content)

    def _error(self, status: int, code: str, message: str) -> None:
        content = json.dumps({"error": message}).encode() if self.command == "GET" else b""
        headers = {"X-Error-Message": message, "Content-Length": str(len(content))}
        if code:
            headers["X-Error-Code"] = code
        if status == 429:
            headers["Retry-After"] = "17"
        self._head(status, headers)
        self.wfile.write(content)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git_sha(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def serve(files: dict[str, bytes], *, repository: str = "tiny/bert", kind: str = "models") -> Iterator[Hub]:
    """Serve these files as a repository at :data:`REVISION`."""
    state = Hub(files, repository, kind)
    handler = type("Answers", (_Answers,), {"hub": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield state
        server.shutdown()
        thread.join()

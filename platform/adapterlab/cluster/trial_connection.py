"""What answers at a Ray cluster's address, asked from a child before this process connects to it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from adapterlab.errors import UnavailableError

CONNECT_TIMEOUT_S = 10.0
"""How long to wait for a cluster to answer."""
_ANSWER_S = 20.0
_LOOK_S = 5
_TRIAL_CONNECTION = """
import signal, sys
import ray
signal.alarm(int(sys.argv[2]))
try:
    ray.init(sys.argv[1], log_to_driver=False, configure_logging=False)
except BaseException as error:
    lines = str(error).strip().splitlines()
    print(lines[0] if lines else type(error).__name__)
    while error is not None:
        if "No node info found" in str(error):
            sys.exit(3)
        error = error.__cause__ or error.__context__
    sys.exit(1)
"""
_NO_NODE_HERE = 3
_WRONG_TOKEN = 4
"""Of no child's own: it is ended once Ray says so."""


def look(target: str, has_token: bool) -> tuple[bool, str]:
    """Return whether one of a cluster's nodes runs on this machine, and the ``RAY_AUTH_MODE`` to connect with.

    Connects from a child first: what answers there may be no Ray, an incompatible one, or one that
    wants another token, and Ray itself would retry for minutes, complaining on the console. The cluster is asked
    whether it wants a token: workers of one that wants none die where their driver has one.

    Args:
        target: ``host:port`` of the cluster.
        has_token: Whether the user has a token that may be sent there.

    Raises:
        UnavailableError: Nothing answers there, or it refuses us.
    """
    host, _, port = target.rpartition(":")
    advice = (
        "Check that the cluster runs and that this machine may connect to it; if it wants a token, "
        "set RAY_AUTH_TOKEN."
    )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise UnavailableError(
            f"nothing answers at the Ray cluster's address {target}: {error}", remedy=advice
        ) from error
    given = os.environ.get("RAY_AUTH_MODE")
    mode = given or "disabled"
    code, said = try_to_connect(target, mode)
    if code == _WRONG_TOKEN and given is None and has_token:
        mode = "token"
        code, said = try_to_connect(target, mode)
    if code == _WRONG_TOKEN:
        raise _without_token(target, mode)
    if code == -signal.SIGALRM:
        raise UnavailableError(
            f"what listens at {target} did not answer as a Ray cluster within {_ANSWER_S:.0f} s",
            remedy=advice,
        )
    if code not in (0, _NO_NODE_HERE):
        raise unusable(target, said or f"connecting ended with {code}")
    return code == 0, mode


def try_to_connect(target: str, mode: str) -> tuple[int, str]:
    """Connect from a child with this ``RAY_AUTH_MODE``; return its exit code and what it said.

    Ray's compiled code tries a token that is refused again and again, and says why on the console only.
    """
    with subprocess.Popen(
        [sys.executable, "-c", _TRIAL_CONNECTION, target, str(int(_ANSWER_S))],
        env={
            **os.environ,
            "RAY_AUTH_MODE": mode,
            "RAY_gcs_server_request_timeout_seconds": str(_LOOK_S),
        },  # also for a node on this machine
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as child:
        for line in child.stderr or ():
            if "InvalidAuthToken" in line:
                child.kill()
                return _WRONG_TOKEN, ""
        said = "" if child.stdout is None else child.stdout.read()
    return child.returncode, said.strip()


def _without_token(target: str, mode: str) -> UnavailableError:
    """Return the error of a cluster that refuses the token it was sent, or that it was sent none."""
    sent = mode == "token"
    remedy = "Set RAY_AUTH_TOKEN to its token (`ray get-auth-token` on its head prints it)."
    if not sent and _token_file().is_file():
        remedy += f" If it is the one in {_token_file()}, set RAY_AUTH_MODE=token."
    return UnavailableError(
        f"the Ray cluster at {target} wants its token, and got {'another one' if sent else 'none'}",
        remedy=remedy,
    )


def token_for(address: str) -> bool:
    """Return whether the user has a token that may be sent to a cluster.

    The one in the user's file is for clusters on this machine, as Ray itself takes it; others are not sent it unasked.
    """
    given = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    return bool(given) or (_token_file().is_file() and (address == "auto" or _is_this_machine(address)))


def _token_file() -> Path:
    """Return where Ray looks for a token by itself, and writes one with ``ray get-auth-token --generate``."""
    return Path.home() / ".ray" / "auth_token"


def own_address(target: str) -> str:
    """Return the address under which a cluster's head sees this machine."""
    host, _, port = target.rpartition(":")
    host = host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, int(port)))  # sends nothing: it only looks up the route
        return str(probe.getsockname()[0])


def _is_this_machine(address: str) -> bool:
    """Return whether ``host:port`` is an address of this machine; ``False`` for what is no address."""
    try:
        host = socket.gethostbyname(address.rpartition(":")[0].strip("[]"))
        return own_address(f"{host}:{address.rpartition(':')[2]}") == host
    except (OSError, ValueError):
        return False


def unusable(target: str, reason: str) -> UnavailableError:
    """Return the error of a cluster that answers and cannot be used."""
    return UnavailableError(
        f"the Ray cluster at {target} cannot be used: {reason}",
        remedy="Submit with its version of Ray and Python and its token "
        "(RAY_AUTH_TOKEN or ~/.ray/auth_token).",
    )

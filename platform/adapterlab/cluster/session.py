"""A Ray session: our own quiet Ray on this machine's loopback, or a connection to a cluster.

A private Ray is started as small as Ray allows, and nothing of it outlives this process:

* it listens on loopback only, with token authentication on and a token of its own in the
  environment, so that the user's ``~/.ray`` is neither read nor written;
* it runs without dashboard, log monitor, autoscaler and usage reports;
* its files live in one private folder with a short path (Unix sockets allow 107 characters), which
  is removed at the end;
* its processes die with this process, also on SIGKILL: Linux kills Ray's main ones, and a small
  script that watches this process (``keeper``) kills the rest and removes the folder. The kernel
  ties the first to the *thread* that started Ray, so a session is opened in the main thread.

Ray lets a machine submit to a cluster only where one of its nodes runs. A machine outside joins for the time of the
session, with a node that has no cores and so is given no work.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterlab.caching.leftovers import Leftover, remove_abandoned, scratch_folder, scratch_folders
from adapterlab.cluster import keeper
from adapterlab.cluster.placement import Node, nodes_now
from adapterlab.cluster.process_state import (
    fewer_processes,
    loudness,
    sigterm_kept,
    variable_absent,
    variables_set,
)
from adapterlab.cluster.trial_connection import look, own_address, token_for, try_to_connect, unusable
from adapterlab.errors import ConflictError, UnavailableError, UsageError
from adapterlab.passwords import is_secret_name

OBJECT_STORE_BYTES = 150 * 2**20
"""Shared memory of a private Ray. Only small JSON values pass through it."""

KEPT_LOGS = 20
"""Sessions whose logs are kept in a log folder."""

_FOLDER_PREFIX = "adapterlab-ray-"
_RAYS_OWN = "r"
"""Ray opens the folder it is given to everybody, whatever the umask. So it is given one inside of ours, which stays
closed to others. The name is short, because sockets lie below it."""
_LONGEST_SOCKET = len(f"/{_RAYS_OWN}/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")
_SOCKET_LIMIT = 107
_JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_OVERRIDE = "RAY_OVERRIDE_JOB_RUNTIME_ENV"
_HEAD_TIMEOUT_S = 3.0
_HEAD_LOST_S = 15.0
"""A head may restart within this time; Ray itself ends its process after 60 s."""
_JOIN_S = 60.0
"""How long a node of ours may take to join a cluster."""
_EXIT_GRACE_S = 5.0
# One token a process: Ray's C++ side reads it once and keeps it.
_TOKEN = secrets.token_hex(32)


@dataclass(frozen=True)
class RaySession:
    """A running Ray, as the caller may need to know it."""

    address: str
    """``host:port`` of its head."""
    private: bool
    """Whether it was started here and ends with the session."""
    cpus: float
    """CPU cores of all nodes now."""
    gpus: float
    """GPUs of all nodes now."""
    nodes: tuple[Node, ...]
    """What each node has now."""
    folder: str | None
    """Of a private Ray's files; its processes have some of them open."""

    def lost(self) -> str | None:
        """Return what of Ray is gone for good, ``None`` while all is well; takes seconds where nothing answers."""
        return _dead_process() if self.private else _silent_head(self.address)


@contextmanager
def ray_session(
    address: str | None = None,
    *,
    cpus: int | None = None,
    gpus: int | None = None,
    environment: Mapping[str, str] | None = None,
    runtime_env: Mapping[str, Any] | None = None,
    log_folder: Path | None = None,
    quiet: bool = True,
    starting: AbstractContextManager[None] | None = None,
) -> Iterator[RaySession]:
    """Start a private Ray, or connect to a cluster; call it in the main thread.

    Args:
        address: ``"auto"`` or ``host:port`` of a running cluster, which is left running; ``None``
            starts a private one.
        cpus: Cores of the private Ray; ``None``: the machine's.
        gpus: GPUs of the private Ray; ``None``: the machine's.
        environment: Variables for the workers. On a cluster they are visible to its other users,
            so names that look like secrets are refused there.
        runtime_env: What the cluster prepares for the workers, as Ray takes it; not for a private Ray.
        log_folder: Where the workers' output is kept after a private session: a sub-folder for each
            of the last 20.
        quiet: Keep Ray's own messages off the console.
        starting: Entered while Ray starts or is joined, which may take for ever, with all threads of this process
            kept waiting.

    Yields:
        The session.

    Raises:
        ConflictError: This process has a Ray session already.
        UnavailableError: The cluster does not answer, refuses us, or Ray cannot start here.
        UsageError: The address is malformed, a variable must not be shown to a cluster, or Ray does not take
            the runtime environment.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "a Ray session must be opened in the main thread: its processes die with the thread"
        )
    variables = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        **(environment or {}),
    }
    starting = starting or nullcontext()
    opened = (
        _private(variables, cpus, gpus, log_folder, quiet=quiet, starting=starting)
        if address is None
        else _connected(address, variables, runtime_env or {}, quiet=quiet, starting=starting)
    )
    with opened as session:
        yield session


@contextmanager
def _private(
    variables: Mapping[str, str],
    cpus: int | None,
    gpus: int | None,
    log_folder: Path | None,
    *,
    quiet: bool,
    starting: AbstractContextManager[None],
) -> Iterator[RaySession]:
    with ExitStack() as stack:
        folder = stack.enter_context(_session_folder())
        stack.enter_context(_kept(folder))
        # Inside a job of a cluster, Ray would look for that job's files in ours.
        for name in (_JOB_CONFIG, "RAY_ADDRESS", "RAY_NAMESPACE"):
            stack.enter_context(variable_absent(name))
        # Ray binds to loopback only where it believes clusters to be unsupported.
        loopback = {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_AUTH_TOKEN": _TOKEN,
            # Else it would wait for an idle worker a core, and for ever where one of them dies meanwhile.
            "RAY_prestart_worker_first_driver": "0",
        }
        own_token = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
        if own_token:
            del loopback["RAY_AUTH_TOKEN"]
        stack.enter_context(variables_set({**variables, **loopback}))
        ray = _import_ray(clusters=False)
        stack.enter_context(loudness(quiet=quiet))
        stack.callback(_stop, ray, folder, log_folder)
        with starting, sigterm_kept(), fewer_processes():
            try:
                context = ray.init(
                    address="local",
                    num_cpus=cpus,
                    num_gpus=gpus,
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    log_to_driver=not quiet,
                    configure_logging=not quiet,
                    _node_ip_address="127.0.0.1",
                    _temp_dir=str(folder / _RAYS_OWN),
                )
            except (OSError, RuntimeError, ValueError, TimeoutError) as error:
                raise UnavailableError(
                    f"Ray does not start on this machine: {_first_line(error)}",
                    remedy="Check free memory and disk space in the temporary folder (TMPDIR), then try again.",
                ) from error
        yield _describe(ray, context.address_info["address"], folder)


@contextmanager
def _connected(
    address: str,
    variables: Mapping[str, str],
    runtime_env: Mapping[str, Any],
    *,
    quiet: bool,
    starting: AbstractContextManager[None],
) -> Iterator[RaySession]:
    variables = {**runtime_env.get("env_vars", {}), **variables}
    exposed = sorted(filter(is_secret_name, variables))
    if exposed:
        raise UsageError(
            f"{', '.join(exposed)}: a cluster shows the environment of its jobs to all its users",
            remedy="Set it on the cluster's nodes instead.",
        )
    with ExitStack() as stack:
        stack.enter_context(variables_set({"RAY_USAGE_STATS_ENABLED": "0"}))
        if _JOB_CONFIG in os.environ and _OVERRIDE not in os.environ:
            # A job of the cluster submits: its environment stays, with our two variables on top.
            stack.enter_context(variables_set({_OVERRIDE: "1"}))
        ray = _import_ray(clusters=True)
        environment = _checked({**runtime_env, "env_vars": variables}, _of_the_job())
        target = _resolve(address)
        has_node_here, mode = look(target, token_for(address))
        stack.enter_context(variables_set({"RAY_AUTH_MODE": mode}))
        _read_variables()
        if not has_node_here:
            stack.enter_context(_visiting_node(target))
        stack.enter_context(loudness(quiet=quiet))
        stack.callback(ray.shutdown)
        with starting, sigterm_kept():
            try:
                ray.init(
                    address=target,
                    log_to_driver=not quiet,
                    configure_logging=not quiet,
                    runtime_env=environment,
                )
            except ray.exceptions.RuntimeEnvSetupError as error:  # a folder of it cannot be copied
                raise _not_taken(error) from error
            except (OSError, RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError) as error:
                if runtime_env and _is_of_a_folder(error, runtime_env):
                    raise _not_taken(error) from error
                raise unusable(target, _first_line(error)) from error
        if runtime_env:
            _prepare(ray)
        yield _describe(ray, target, None)


def _of_the_job() -> dict[str, Any]:
    """Return the runtime environment of the cluster's job that this process is in; empty where it is in none."""
    with suppress(ValueError, TypeError, KeyError):
        return dict(json.loads(os.environ[_JOB_CONFIG])["runtime_env"])
    return {}


def _checked(runtime_env: Mapping[str, Any], of_the_job: Mapping[str, Any]) -> dict[str, Any]:
    """Return a runtime environment that Ray takes, also on top of a job's.

    Raises:
        UsageError: It does not.
    """
    from ray.runtime_env import RuntimeEnv

    own = runtime_env.keys() - {"env_vars"}
    for below in ({}, of_the_job) if own else ({},):
        try:
            RuntimeEnv(**{**below, **runtime_env})  # as Ray puts them together: whole fields
        except (ValueError, TypeError) as error:
            raise _not_taken(error, below) from error
    return dict(runtime_env)


def _not_taken(error: Exception, below: Mapping[str, Any] | None = None) -> UsageError:
    """Return the error of a runtime environment that Ray does not take, perhaps only for what is below it."""
    said = _first_line(error)
    if below:
        job = ", ".join(sorted(below))
        return UsageError(f"cluster.runtime_env: Ray does not take it on top of this job's ({job}): {said}")
    return UsageError(f"cluster.runtime_env: Ray does not take it: {said}")


def _is_of_a_folder(error: Exception, runtime_env: Mapping[str, Any]) -> bool:
    """Return whether an error names something that Ray was to copy to the nodes."""
    copied = [runtime_env.get("working_dir"), *runtime_env.get("py_modules", ())]
    return any(place and str(place) in str(error) for place in copied)


def _prepare(ray: Any) -> None:
    """Have the runtime environment prepared on one node, where a worker would only wait for it and fail in silence.

    Raises:
        UsageError: It cannot be prepared.
    """

    def nothing() -> None:
        return None

    try:
        ray.get(ray.remote(num_cpus=0)(nothing).remote())
    except ray.exceptions.RuntimeEnvSetupError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "no reason given")
        raise UsageError(
            f"cluster.runtime_env cannot be prepared on the cluster: {said[:300]}",
            remedy="Ray's logs on the node tell more, runtime_env_setup-*.log among them.",
        ) from error


def _import_ray(*, clusters: bool) -> Any:
    import ray
    from ray._private import ray_constants

    if ray.is_initialized():
        raise ConflictError("this process has a Ray session already", remedy="End it first.")
    # Both are read when ray is imported, which may have been before us and for another purpose.
    ray_constants.ENABLE_RAY_CLUSTER = clusters
    _read_variables()
    return ray


def _read_variables() -> None:
    """Have Ray's compiled code read its variables again."""
    from ray import _raylet

    with suppress(AttributeError):
        getattr(_raylet, "Config").initialize("")  # noqa: B009  (compiled; its stub does not list it)


def _describe(ray: Any, address: str, folder: Path | None) -> RaySession:
    resources = ray.cluster_resources()
    cpus, gpus = (float(resources.get(name, 0)) for name in ("CPU", "GPU"))
    return RaySession(
        address, folder is not None, cpus, gpus, tuple(nodes_now()), None if folder is None else str(folder)
    )


def _dead_process() -> str | None:
    """Return which of a private Ray's two vital processes has ended."""
    from ray._private import worker

    node = worker._global_node
    for kind in ("gcs_server", "raylet"):
        for one in [] if node is None else node.all_processes.get(kind, []):
            if (code := one.process.poll()) is not None:
                return f"its {kind} ended with {code}"
    return None


def _silent_head(address: str) -> str | None:
    """Return why a cluster's head counts as gone: nothing accepted a connection for a while."""
    host, _, port = address.rpartition(":")
    begun = time.monotonic()
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_HEAD_TIMEOUT_S).close()
        except OSError as error:
            if time.monotonic() - begun >= _HEAD_LOST_S:
                return f"its head has not answered for {_HEAD_LOST_S:.0f} s ({error})"
            time.sleep(1)
        else:
            return None


def _stop(ray: Any, folder: Path, log_folder: Path | None) -> None:
    """Stop Ray and make sure that nothing it started is left."""
    grace_s = _EXIT_GRACE_S if ray.is_initialized() else 0.0  # it was interrupted while starting
    ray.shutdown()
    keeper.end_processes(folder, grace_s)
    if log_folder is not None:
        _keep_logs(folder / _RAYS_OWN, log_folder)


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Have a script watch this process, and clean up after it should it be killed."""
    script = subprocess.Popen(
        [sys.executable, "-I", "-S", keeper.__file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # out of reach of Ctrl-C
    )
    try:
        yield
    finally:
        with suppress(OSError, subprocess.TimeoutExpired):
            script.communicate(b".", timeout=_EXIT_GRACE_S)


def _keep_logs(folder: Path, log_folder: Path) -> None:
    for session in folder.glob("session_2*"):
        kept = log_folder / session.name
        for file in sorted((session / "logs").glob("*")):
            if file.is_file() and file.suffix in {".err", ".out"} and file.stat().st_size:
                kept.mkdir(parents=True, exist_ok=True)
                with suppress(OSError):
                    shutil.move(file, kept / file.name)
    # Ray's names begin with the date: the oldest come first.
    for old in sorted(log_folder.glob("session_2*"))[:-KEPT_LOGS]:
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _session_folder() -> Iterator[Path]:
    remove_abandoned(session_folders())
    with scratch_folder(_FOLDER_PREFIX, _parent()) as folder:
        yield folder


def session_folders() -> Iterator[Leftover]:
    """Yield the folders of private Rays on this machine, those of living sessions as well."""
    return scratch_folders(_FOLDER_PREFIX, _parent())


def _parent() -> Path:
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) + 1 + len(_FOLDER_PREFIX) + 8 + _LONGEST_SOCKET > _SOCKET_LIMIT:
        return Path("/tmp")  # noqa: S108  (mkdtemp makes a private folder)
    return parent


def _resolve(address: str) -> str:
    """Return ``host:port`` of a cluster's address as written."""
    from ray._private import services

    if address == "auto":
        try:
            target: str = services.canonicalize_bootstrap_address_or_die("auto")
        except (ConnectionError, ValueError) as error:
            raise UnavailableError(
                'no Ray cluster runs on this machine (cluster.address = "auto")',
                remedy="Start one (`ray start --head`), give its address as host:port, "
                "or leave cluster.address out for a private one.",
            ) from error
        return target
    host, separator, port = address.rpartition(":")
    if not separator or not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(
            f'cluster.address = {address!r} is no address of a Ray cluster; expected "auto" or host:port, '
            'for example "10.0.0.1:6379"'
        )
    target = services.canonicalize_bootstrap_address(address)
    return target or address


@contextmanager
def _visiting_node(target: str) -> Iterator[None]:
    """Join a cluster with a node of no cores; it leaves when the block ends, or this process.

    Raises:
        UnavailableError: The node does not start, or the cluster cannot reach it.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(_session_folder())
        stack.enter_context(_kept(folder))
        log = folder / "node.log"
        with log.open("wb") as output:
            node = subprocess.Popen(
                [
                    *(
                        sys.executable,
                        "-m",
                        "ray.scripts.scripts",
                        "start",
                        "--block",
                        "--disable-usage-stats",
                    ),
                    *(f"--address={target}", f"--node-ip-address={own_address(target)}"),
                    *("--num-cpus=0", "--num-gpus=0", f"--object-store-memory={OBJECT_STORE_BYTES}"),
                    f"--temp-dir={folder / _RAYS_OWN}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # out of reach of Ctrl-C
            )
        stack.callback(keeper.end_processes, folder, 0.0)
        stack.callback(_terminate, node)
        deadline = time.monotonic() + _JOIN_S
        while (said := try_to_connect(target, os.environ["RAY_AUTH_MODE"]))[0] != 0:
            if node.poll() is not None or time.monotonic() > deadline:
                lines = log.read_text(errors="replace").strip().splitlines()
                raise UnavailableError(
                    f"this machine cannot join the Ray cluster at {target}: {lines[-1] if lines else said[1]}",
                    remedy="The cluster's machines must reach this one, with the same versions of Ray and Python; "
                    "or submit from one of them, or with `ray job submit`.",
                )
        yield


def _terminate(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_EXIT_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

"""``platform`` in processes of its own that start in a moment: forked where its libraries are loaded already.

Each is a process like any other, in a session and a group of its own, to be killed or stopped; what it starts itself
(Ray and its workers) starts as always.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path

PRELOADED = "warm_libraries"


def start(arguments: list[str], environment: Mapping[str, str], log: Path) -> ForkServerProcess:
    """Start ``platform`` with its output appended to a file."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    process = context.Process(target=_run, args=(arguments, dict(environment), str(log)))
    process.start()
    return process


def _run(arguments: list[str], environment: dict[str, str], log: str) -> None:
    import atexit

    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, output), (2, output)):
        os.dup2(source, target)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    from adapterlab.cli.main import main

    sys.argv = ["platform", *arguments]
    try:
        code = main()
    except SystemExit as ended:
        code = ended.code
    atexit._run_exitfuncs()  # a forked process leaves these out
    sys.stdout.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)

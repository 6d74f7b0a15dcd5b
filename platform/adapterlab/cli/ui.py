"""``platform ui``: look at the runs in MLflow's UI, on this machine only."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from adapterlab.cli.output import emit, note
from adapterlab.errors import UnavailableError
from adapterlab.home import stores


def command(
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port to listen on.")] = 5000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; loopback keeps it on this machine.")
    ] = "127.0.0.1",
    tracking: Annotated[
        str | None,
        typer.Option(
            help="MLflow tracking URI; default: $MLFLOW_TRACKING_URI, else the home folder's store."
        ),
    ] = None,
) -> None:
    """Open the MLflow UI for the runs of this home folder.

    Prints links that hold a token, new at each start, and serves until Ctrl-C; without the token nothing is shown.
    Programs hand it over as MLFLOW_TRACKING_TOKEN. Where the runs are on a tracking server, prints its address
    instead, and for each experiment the link that compares its methods.
    """
    places = stores()
    uri = tracking or places.tracking
    # Imported here: `platform --help` must not pay for it.
    from adapterlab.tracking import schema, server, store

    if store.is_server(uri):
        emit(
            f"The runs are on a tracking server: {server.public_address(uri)}/#/experiments?{server.MODEL_TRAINING}"
        )
        try:
            for name, link in server.comparisons(uri).items():
                emit(f"  {name}: {link}")
        except UnavailableError as error:
            note(f"warning: {error.message}")
        return
    if not server.is_loopback(host):
        note(f"warning: {host} can be reached from other machines, and the token travels there unencrypted")
    schema.follow_home(uri, places.artifacts, places.locks)
    log = places.locks.parent / "logs" / "ui.log"
    try:
        with server.serve(uri, places.artifacts, host=host, port=port, log=log) as running:
            emit(f"MLflow UI: {running.link}")
            if running.token is None:
                note(
                    "warning: every user of this machine can open it; install adapterlab to have a token asked for"
                )
            for name, link in running.experiments().items():
                emit(f"  {name}: {link}")
            emit("Ctrl-C stops it.")
            sys.stdout.flush()
            running.process.wait()
    except KeyboardInterrupt as stopped:
        if getattr(stopped, "number", signal.SIGINT) != signal.SIGINT:
            raise
        note("stopped")

"""A process that works with a catalog, for tests that start, stop and kill real ones.

    python catalog_process.py URL FOLDER ACTION NAME...

It prints one JSON line for each thing it did, and waits for a line of input where a test must
look at it in the middle.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from adapterlab.catalog.store import Catalog, current_owner
from adapterlab.errors import AdapterlabError
from catalogs import adapter, key, open_at


def say(**facts: Any) -> None:
    """Tell the test what happened."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def wait() -> None:
    """Wait until the test says go on."""
    sys.stdin.readline()


def work(catalog: Catalog, names: list[str]) -> None:
    """Claim again and again until every step is complete; publish each that was won."""
    open_names = set(names)
    while open_names:
        claims = catalog.claim_many([key(name) for name in open_names], owner=current_owner(), lease_s=30)
        for name in sorted(open_names):
            claim = claims.get(key(name))
            if claim is not None:
                say(trained=name)
                catalog.publish_adapter(adapter(name), name.encode(), claim)
        states = catalog.status(key(name) for name in open_names)
        open_names = {name for name in open_names if states[key(name)].state != "complete"}


def hold(catalog: Catalog, names: list[str], lease_s: float) -> None:
    """Claim steps, wait for the test, then try to publish them."""
    claims = catalog.claim_many([key(name) for name in names], owner=current_owner(), lease_s=lease_s)
    say(claimed=sorted(name for name in names if key(name) in claims))
    wait()
    for name in names:
        try:
            catalog.publish_adapter(adapter(name, metric_value=0.1), b"late", claims[key(name)])
            say(published=name)
        except AdapterlabError as error:
            say(refused=name, error=type(error).__name__, text=str(error))


def use(catalog: Catalog, names: list[str], action: str) -> None:
    """Claim a step, wait for the test, then say how far it is (``advance``) or look up its run (``look``)."""
    claim = catalog.claim_many([key(names[0])], owner=current_owner(), lease_s=30)[key(names[0])]
    say(claimed=names)
    wait()
    try:
        if action == "advance":
            catalog.progress(claim.key, done=1, claim=claim)
        else:
            catalog.run_id(claim.key)
        say(done=names)
    except AdapterlabError as error:
        say(refused=names, error=type(error).__name__, text=str(error))


def share(catalog: Catalog, names: list[str]) -> None:
    """Publish every step whose claim is won, one after another."""
    for name in names:
        claims = catalog.claim_many([key(name)], owner=current_owner(), lease_s=30)
        if key(name) in claims:
            catalog.publish_adapter(adapter(name), name.encode(), claims[key(name)])
    say(shared=len(names))


def collect(catalog: Catalog) -> None:
    """Collect garbage of any age, again and again, until killed."""
    while True:
        report = catalog.collect_garbage(grace_s=0, force=True)
        say(removed=len(report.removed))


def main() -> None:
    """Run one action."""
    url, folder, action, *names = sys.argv[1:]
    say(ready=True)
    wait()  # so that a test can let many go at the same moment
    with open_at(url, Path(folder)) as catalog:
        say(opened=True)
        if action == "work":
            work(catalog, names)
        elif action.startswith("hold"):
            hold(catalog, names, float(action.removeprefix("hold=")))
        elif action == "share":
            share(catalog, names)
        elif action == "collect":
            collect(catalog)
        else:
            use(catalog, names, action)


if __name__ == "__main__":
    main()

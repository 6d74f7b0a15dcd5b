"""Claims a driver holds, kept alive by one thread while workers work.

The driver holds the claims and its workers publish under them: workers die with their driver, so a
driver that is gone lets everything go, and the fencing token stops whatever is left from publishing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

from adapterlab.catalog.records import Claim
from adapterlab.catalog.store import Catalog, current_owner
from adapterlab.driver.endings import reason_of, stopped_as
from adapterlab.errors import ConflictError, UnavailableError
from adapterlab.patience import NO_PATIENCE
from adapterlab.records import State

_TICK_S = 0.5


class HeldClaims:
    """Holds claims of one sweep; renews them every quarter of the lease.

    Args:
        catalog: Where claims are.
        lease_s: Seconds a claim lives without being renewed.
        on_tick: Called twice a second from the thread, for progress; must not raise.
    """

    def __init__(self, catalog: Catalog, lease_s: float, on_tick: Callable[[], None]) -> None:
        self._catalog = catalog
        self._hasty = catalog.with_patience(NO_PATIENCE)
        self._lease_s = lease_s
        self._on_tick = on_tick
        self._owner = current_owner()
        self._claims: dict[str, Claim] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name="claims", daemon=True)

    def __enter__(self) -> HeldClaims:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        with self._lock:
            _release(self._catalog, self._claims, error)
            self._claims.clear()

    def end_all_but(self, key: str, error: BaseException) -> None:
        """Give claims back because of an error, before it is told that the sweep has ended; all but one.

        A database that is away is not waited for: what is left is given back at the end.

        Raises:
            UnavailableError: The database cannot be reached.
        """
        with self._lock:
            ended = {one: claim for one, claim in self._claims.items() if one != key}
            _release(self._hasty, ended, error)
            for one in ended:
                del self._claims[one]

    def claim(self, keys: Iterable[str]) -> set[str]:
        """Claim what is free; return the keys newly held."""
        wanted = [key for key in keys if key not in self._claims]
        won = self._catalog.claim_many(wanted, owner=self._owner, lease_s=self._lease_s)
        with self._lock:
            self._claims |= won
        return set(won)

    def get(self, key: str) -> Claim | None:
        """Return the claim on a step, if it is held."""
        return self._claims.get(key)

    def release(self, keys: Iterable[str]) -> None:
        """Give claims back that are not needed any more, so that another process can have them."""
        with self._lock:
            released = [claim for key in keys if (claim := self._claims.pop(key, None)) is not None]
        self._catalog.release(released)

    def drop(self, keys: Iterable[str]) -> None:
        """Forget claims that were given back by publishing or failing."""
        with self._lock:
            for key in keys:
                self._claims.pop(key, None)

    def _keep_alive(self) -> None:
        waited_s = 0.0
        while not self._stop.wait(_TICK_S):
            waited_s += _TICK_S
            if waited_s >= self._lease_s / 4:
                # A catalog that is away is asked at every beat: once it is back, leases are renewed at once.
                waited_s = 0.0 if self._renew() else waited_s
            self._on_tick()

    def _renew(self) -> bool:
        """Renew the claims; return whether the catalog answered."""
        with self._lock:
            claims = list(self._claims.values())
        try:
            lost = self._hasty.renew(claims, self._lease_s)
        except (ConflictError, UnavailableError):
            # The next beat tries again; if the lease ends first, fencing keeps results exact. A catalog that a newer
            # version has upgraded is told of by whatever the driver or a worker writes next.
            return False
        self.drop(lost)
        return True


def _release(catalog: Catalog, claims: Mapping[str, Claim], error: BaseException | None) -> None:
    """Give claims back in the state that an error leaves their steps in; ``None``: they were not begun."""
    if error is None:
        catalog.release(claims.values(), state=State.PENDING)
    else:
        catalog.release(claims.values(), state=stopped_as(error) or State.KILLED, reason=reason_of(error))

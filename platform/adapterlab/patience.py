"""Waiting for a server that is away for a moment: a database that restarts, a network that breaks.

A sweep should outlive a restart of its database, and a command that only looks should fail within seconds. So
whoever opens a store says how patient it is; what is done there is tried again as a whole until the store
answers. Only what may be done twice is tried again: see ``catalog.database`` and ``search.study``.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from adapterlab.errors import AwayError

Result = TypeVar("Result")

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0

_PASSING_SQLSTATES = re.compile(r"08...|57P0[123]|53300")
"""PostgreSQL: connection exceptions, shut down or not yet up, too many connections."""
_PASSING_WORDS = re.compile(
    r"starting up|shutting down|shut down|recovery mode|not (yet )?accepting connections|administrator command"
    r"|too many clients|connection slots"
)

_PASSING_CLASSES = frozenset({"OperationalError", "ConnectionTimeout"})
"""Of psycopg, where there is no state."""


class Patience:
    """How long one process waits for one server. Safe to share between threads.

    Args:
        seconds: How long a server may be away, >= 0, from the first time it was missed; 0 does not wait. When it has
            been away for longer, whatever comes next is tried once, until something succeeds.
        check: Called before each pause; may raise to wait no longer, for example because a signal arrived.
        tell: Told once, in words, that waiting has begun.
    """

    def __init__(
        self,
        seconds: float = 0.0,
        *,
        check: Callable[[], None] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.seconds = seconds
        self._check = check
        self._tell = tell
        self._mutex = threading.Lock()
        self._away_since: float | None = None

    def retry(self, work: Callable[[], Result]) -> Result:
        """Do something until the server answers.

        Args:
            work: Done again after each :class:`~adapterlab.errors.AwayError`; must be harmless when done twice.

        Raises:
            AwayError: The server has been away for longer than ``seconds``.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                result = work()
            except AwayError as error:
                if not self._goes_on(error):
                    raise
            else:
                self._away_since = None
                return result
            if self._check is not None:
                self._check()
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _goes_on(self, error: AwayError) -> bool:
        """Note that the server is away; return whether there is patience left."""
        if self.seconds <= 0:
            return False
        with self._mutex:
            now = time.monotonic()
            new, since = self._away_since is None, self._away_since or now
            self._away_since = since
        if new and self._tell is not None:
            self._tell(f"{error.message}; waiting")
        return now - since < self.seconds


NO_PATIENCE = Patience()
"""For whoever only looks: fails at the first try."""


def is_away(error: BaseException) -> bool:
    """Return whether a database's error is one that passes: its server restarts, or the connection broke.

    A wrong password, a database that does not exist, a full disk or a locked file are none.

    Args:
        error: Of SQLAlchemy, or of the driver below it.
    """
    cause = getattr(error, "orig", None) or error
    state = getattr(cause, "sqlstate", None)
    text = str(cause)
    if state is not None and _PASSING_SQLSTATES.fullmatch(state):
        return True
    if getattr(error, "connection_invalidated", False):
        return True
    # PostgreSQL's driver gives a refused connection no state, and names no class for it.
    is_postgres = type(cause).__module__.partition(".")[0] == "psycopg"
    if not is_postgres or state is not None or type(cause).__name__ not in _PASSING_CLASSES:
        return False
    return "FATAL:" not in text or _PASSING_WORDS.search(text) is not None

"""The device time of a sweep: what its workers have taken, over all its submits, and what they may take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from adapterlab.errors import BudgetSpentError

HOUR_S = 3600.0
_KEPT_EVERY_S = 10.0
"""How often what was taken is written down: at most so much is forgotten where a driver is killed."""


@dataclass
class DeviceTime:
    """Counts workers × seconds; told of time by a clock that ticks, and by every change of who works."""

    keep: Callable[[float], None]
    """Told device-seconds to add to those of the sweep; may raise, then they are told again later."""
    limit_s: float | None = None
    """Device-seconds the sweep may take; ``None``: as many as it needs."""
    before_s: float = 0.0
    """Device-seconds that earlier submits took."""
    clock: Callable[[], float] = time.monotonic
    """In seconds."""
    _at_work: float = 0.0
    _since: float = field(init=False)
    _taken_s: float = 0.0
    _unkept_s: float = 0.0
    _kept_at: float = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """One thread ticks, another says who works."""

    def __post_init__(self) -> None:
        self._since = self._kept_at = self.clock()

    @classmethod
    def of_hours(cls, keep: Callable[[float], None], hours: float | None, before_s: float) -> DeviceTime:
        """Return the count of a sweep that may take so many device-hours, or any for ``None``."""
        return cls(keep, None if hours is None else hours * HOUR_S, before_s)

    def work(self, devices: float) -> None:
        """Say how many devices are at work from now on, >= 0."""
        with self._lock:
            self._count()
            self._at_work = devices

    def tick(self) -> None:
        """Count until now, and write it down now and then."""
        with self._lock:
            self._count()
            due = self.clock() - self._kept_at >= _KEPT_EVERY_S
        if due:
            self.write()

    def write(self) -> None:
        """Write down what was counted."""
        with self._lock:
            self._count()
            taken, self._unkept_s, self._kept_at = self._unkept_s, 0.0, self.clock()
        if taken <= 0.0:
            return
        try:
            self.keep(taken)
        except BaseException:
            with self._lock:
                self._unkept_s += taken
            raise

    @property
    def spent(self) -> bool:
        """Whether the sweep has had all it may take."""
        return self.limit_s is not None and self.before_s + self._taken_s >= self.limit_s

    def check(self, name: str, sweep_key: str) -> None:
        """Check that the sweep of this name and key may go on.

        Raises:
            BudgetSpentError: It has had all it may take.
        """
        if self.spent and self.limit_s is not None:
            taken = (self.before_s + self._taken_s) / HOUR_S
            raise BudgetSpentError(
                f"{name}: its budget is spent: {taken:.3g} device-hours of {self.limit_s / HOUR_S:.3g}",
                remedy="What is done is kept. Raise cluster.max_hours and submit it again to go on.",
                device_hours=taken,
                sweep_key=sweep_key,
            )

    def _count(self) -> None:
        now = self.clock()
        passed, self._since = max(0.0, now - self._since) * self._at_work, now
        self._taken_s += passed
        self._unkept_s += passed

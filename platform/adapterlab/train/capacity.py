"""How many lanes share a pass: as many as make it faster, and as memory holds.

A pass of twice the lanes is tried for a few steps of real training; while tokens a second still grow,
it grows. The knee is where they stop: a doubling that gains nothing is followed by one more, because kernels are made
for sizes, and the next may have a better one. Lanes do not depend on each other, so trying costs no result.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from adapterlab.errors import TrainingError

LIMIT = 64
"""Most lanes tried; beyond, a pass only waits for more lanes' epochs."""
_STEPS = 5
"""Steps that decide about a number of lanes; the median of them is taken."""
_LONG_STEPS = 3
_LONG_S = 0.25
"""So few decide when they take so long together: the clock tells long ones apart sooner."""
_WARM_UP = 1
"""Steps at a new number of lanes that do not count: memory is first reserved then."""
_GAIN = 1.02
"""Least growth of tokens a second that is worth twice the lanes, or four times."""
_LOSS = 0.9
"""Below this share of the best speed, more lanes are not tried."""
_MEMORY_SHARE = 0.8
"""Share of what a card has for this process that a doubled pass may be expected to take."""
_OUT_OF_MEMORY = (
    "can't allocate memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""What errors say that are of no class of their own: a CPU's, and those of NVIDIA's libraries."""
_PERHAPS = (
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_INTERNAL_ERROR",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "CUDNN_STATUS_NOT_INITIALIZED",
)
"""What the same libraries say when they find no room for what they need beside torch; or when they are broken."""
_FULL_SHARE = 0.05
"""With less than this share of a card free, those errors are for want of memory."""

Say = Callable[[str], None]
_Member = TypeVar("_Member")
_Computed = TypeVar("_Computed")
_LOG = logging.getLogger(__name__)


@dataclass
class Capacity:
    """The number of lanes in a pass, found while training unless it is given.

    Attributes:
        lanes: Most lanes in the next pass, >= 1.
    """

    given: int | None = None
    """A fixed number; ``None``: found."""
    limit: int = LIMIT
    """Most lanes tried."""
    say: Say = _LOG.warning
    """Told, in a sentence, when memory ran out."""
    lanes: int = field(init=False)
    _seen: list[tuple[float, float]] = field(default_factory=list, init=False)
    """Tokens a second, and seconds, of steps of the present number."""
    _best: tuple[float, int] | None = field(default=None, init=False)
    """Tokens a second, and lanes."""
    _without_gain: int = field(default=0, init=False)
    """Doublings since the best number."""
    _settled: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.lanes = self.given or 1
        self._settled = self.given is not None

    @property
    def settled(self) -> bool:
        """Whether the number stays: it was given, found, or the most that memory holds."""
        return self._settled

    def observe(self, lanes: int, tokens: int, seconds: float) -> None:
        """Take note of a step.

        Args:
            lanes: Lanes that were in it; steps of other than :attr:`lanes` say nothing.
            tokens: Token rows it computed.
            seconds: How long it took the device, from the end of the step before where that was in work.
        """
        if self._settled or lanes != self.lanes:
            return
        self._seen.append((tokens / seconds, seconds))
        told = self._seen[_WARM_UP:]
        long = len(told) >= _LONG_STEPS and sum(each for _, each in told) >= _LONG_S
        if not long and len(told) < _STEPS:
            return
        self._judge(statistics.median(speed for speed, _ in told))
        self._seen.clear()

    def _judge(self, speed: float) -> None:
        """Go on with twice the lanes, or settle on the best number so far."""
        best = 0.0 if self._best is None else self._best[0]
        if speed >= _GAIN * best:
            self._best, self._without_gain = (speed, self.lanes), 0
        else:
            self._without_gain += 1
        given_up = self._without_gain == 2 or speed < _LOSS * best
        if given_up or 2 * self.lanes > self.limit or not _fits_doubled():
            assert self._best is not None
            self.lanes, self._settled = self._best[1], True
        else:
            self.lanes *= 2

    def ran_out(self, lanes: int) -> None:
        """Go on with half the lanes after a pass of so many ran out of memory."""
        give_back_kept()
        self.lanes = max(1, lanes // 2)
        self._seen.clear()
        self._settled = True
        self.say(f"out of memory with {lanes} lanes in a pass; going on with {self.lanes}")


def halved(members: Sequence[_Member]) -> Sequence[Sequence[_Member]]:
    """Return the first and the second half of members; nothing of a single one."""
    half = len(members) // 2
    return (members[:half], members[half:]) if half else ()


def in_halves(
    members: Sequence[_Member],
    compute: Callable[[Sequence[_Member]], _Computed],
    *,
    ran_out: Callable[[int], None],
    too_large: Callable[[_Member, str], TrainingError],
    halves: Callable[[Sequence[_Member]], Sequence[Sequence[_Member]]] = halved,
) -> Iterator[tuple[Sequence[_Member], _Computed]]:
    """Yield what is computed of all members at once; in two halves, and these in halves, where memory runs out.

    Args:
        members: At least one.
        compute: Changes nothing, so that it can be done again.
        ran_out: Told of how many members memory was too small for.
        too_large: The error for a member that has no halves, given what was said.
        halves: Of members; none where there are none.

    Raises:
        TrainingError: A single member does not fit.
    """
    try:
        found = compute(members)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error)
    else:
        yield members, found
        return
    # Outside of the handler: the error's traceback, which holds the pass's tensors, is gone here.
    parts = halves(members)
    if not parts:
        raise too_large(members[0], reason)
    ran_out(len(members))
    for part in parts:
        yield from in_halves(part, compute, ran_out=ran_out, too_large=too_large, halves=halves)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a card or on a CPU.

    On a card that another process fills, NVIDIA's libraries fail in other words; a card that is nearly full
    tells these from a fault.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    said = str(error)
    if any(words in said for words in _OUT_OF_MEMORY):
        return True
    return any(words in said for words in _PERHAPS) and _card_is_full()


def _card_is_full() -> bool:
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return False
    try:
        free, total = torch.cuda.mem_get_info()
    except RuntimeError:  # the card is lost to this process, whatever it was
        return False
    return free < _FULL_SHARE * total


def give_back_kept() -> None:
    """Let go of the memory of a card that torch keeps for later, in pieces that may fit nothing."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def _fits_doubled() -> bool:
    """Return whether a card is likely to hold twice the lanes; a CPU's memory is not the limit."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return True
    free, _ = torch.cuda.mem_get_info()
    return 2 * torch.cuda.max_memory_allocated() < _MEMORY_SHARE * (free + torch.cuda.memory_reserved())

"""The whole error tree, its exit codes, and the one shape every message has.

    AdapterlabError                 1  something failed; the base of all below
    ├── UsageError                  2  the command line itself is wrong
    ├── SpecError                   3  the spec is invalid (carries every fault, with positions)
    ├── NotFoundError               4  a file, task, backbone, plug-in or record does not exist
    ├── DataError                   3  a data file is malformed (file, line, remedy)
    ├── BackboneError               3  weights that do not match, an unsupported architecture
    ├── PluginError                 3  a plug-in does not keep what its kind promises
    ├── UnavailableError            5  a database, tracking server or hub cannot be reached
    │   └── AwayError               5  a server that may be back in a moment: the same can be tried again
    ├── ConflictError               5  somebody else holds it, or the schema is newer than the code
    │   └── ClaimLostError          5  a lease was taken over: this owner may no longer publish
    ├── CorruptBlobError            1  stored bytes do not have the digest they are filed under
    ├── TrainingError               1  a lane diverged or a worker failed
    ├── PartialFailureError         6  the sweep ended, but not every step completed
    ├── BudgetSpentError            7  the sweep's budget is spent; a larger one goes on from there
    └── CancelledError            130  stopped on request; the sweep can be resumed

Ray ships errors between processes, so every error survives pickling: subclasses take
``message`` and keyword arguments only, and never override ``__reduce__``.
"""

from __future__ import annotations

import signal
from typing import Any, ClassVar

EXIT_SIGNAL = 128
"""Added to the number of the signal that stopped a command."""


class AdapterlabError(Exception):
    """Base of every error this project raises on purpose.

    Args:
        message: What is wrong, where, and what was expected.
        remedy: What to do next, as one sentence; shown on its own line.
        **details: JSON-able facts for ``--json`` output.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, remedy: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.details = details

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.remedy, self.details)

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message

    def to_json(self) -> dict[str, Any]:
        """Return the error as a JSON-able mapping for ``--json`` output."""
        return {
            "error": type(self).__name__,
            "message": self.message,
            "remedy": self.remedy,
            "exit_code": self.exit_code,
            **self.details,
        }


def exit_code_of(error: BaseException) -> int:
    """Return the exit code of a command that an error ended: 128 + the signal's number where one stopped it."""
    if not isinstance(error, AdapterlabError):
        return AdapterlabError.exit_code
    name = error.details.get("signal")
    return EXIT_SIGNAL + signal.Signals[name] if name else error.exit_code


def _rebuild(
    kind: type[AdapterlabError], message: str, remedy: str | None, details: dict[str, Any]
) -> AdapterlabError:
    return kind(message, remedy=remedy, **details)


class UsageError(AdapterlabError):
    """The command line asks for something that makes no sense."""

    exit_code = 2


class SpecError(AdapterlabError, ValueError):
    """The spec is invalid; ``details["faults"]`` lists every fault with its position."""

    exit_code = 3


class NotFoundError(AdapterlabError, LookupError):
    """A file, task, backbone, plug-in or record does not exist."""

    exit_code = 4


class DataError(AdapterlabError, ValueError):
    """A data file is malformed; the message names file and line."""

    exit_code = 3


class BackboneError(AdapterlabError, ValueError):
    """A backbone's weights do not match what was asked for, or are unsupported."""

    exit_code = 3


class PluginError(AdapterlabError, TypeError):
    """A plug-in does not keep what its kind promises; the remedy names the page to read."""

    exit_code = 3


class UnavailableError(AdapterlabError, ConnectionError):
    """A database, tracking server or hub cannot be reached."""

    exit_code = 5


class AwayError(UnavailableError):
    """A server restarts, or a connection to it broke; the same may succeed in a moment."""


class ConflictError(AdapterlabError):
    """Somebody else holds what is needed, or a schema does not fit the code."""

    exit_code = 5


class ClaimLostError(ConflictError):
    """The lease was taken over by another owner; nothing was published."""


class CorruptBlobError(AdapterlabError):
    """Stored bytes do not have the digest they are filed under."""


class TrainingError(AdapterlabError):
    """A training run failed: it diverged, or its worker died."""


class PartialFailureError(AdapterlabError):
    """The sweep ended, but some steps failed; the rest is kept."""

    exit_code = 6


class BudgetSpentError(AdapterlabError):
    """The sweep's budget is spent; what is done is kept, and a larger budget goes on from there."""

    exit_code = 7


class CancelledError(AdapterlabError):
    """The sweep was stopped on request and can be resumed."""

    exit_code = 130

"""A plug-in by the name that a spec gives it, or what is wrong with that name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapterlab.errors import AdapterlabError, NotFoundError, PluginError, UsageError
from adapterlab.spec.complaints import Complaint
from adapterlab.spec.positions import Path


def look_up(path: Path, name: str, get: Callable[[str], Any]) -> Any:
    """Return the plug-in, or the complaint about its name.

    Args:
        path: Where the name stands.
        name: The plug-in's name.
        get: Looks it up by name.
    """
    try:
        return get(name)
    except (NotFoundError, UsageError) as error:
        return Complaint(path, "value", error.message, hint_of(error))
    except Exception as error:  # noqa: BLE001  a plug-in is somebody else's code
        return broken(path, name, error)


def hint_of(error: AdapterlabError) -> str | None:
    """Return an error's remedy as a hint."""
    return f"{error.remedy[:1].lower()}{error.remedy[1:]}" if error.remedy else None


def broken(path: Path, name: str, error: Exception) -> Complaint:
    """Return the complaint about a plug-in that raises."""
    if isinstance(error, PluginError):
        return Complaint(path, "value", f"the plug-in {error.message}", hint_of(error))
    reason = f"{type(error).__name__}: {error}"
    return Complaint(
        path,
        "value",
        f"the plug-in behind {name!r} cannot be used: {reason}",
        "update or reinstall its package",
    )

"""Passwords in URLs: found, and blacked out wherever something is shown or kept."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

_BEFORE_HOST = r"(?<=://)[^\s/@:\"']*:(?!\*+@)[^\s\"']+(?=@)"
_IN_QUERY = r"(?<=[?&])[\w.-]*(?:password|passwd|pwd|secret|token|access_key)[\w.-]*=[^&\s\"'#]+"
_SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "API_KEY", "ACCESS_KEY")
_QUERY = re.compile(_IN_QUERY, re.IGNORECASE)
_SECRET = re.compile(f"(?P<login>{_BEFORE_HOST})|(?P<query>{_IN_QUERY})", re.IGNORECASE)


def has_password(url: str) -> bool:
    """Return whether a URL holds a password, before its host or in its query."""
    try:
        before_host = urlsplit(url).password
    except ValueError:  # not a URL at all; whoever opens it says so
        before_host = None
    return bool(before_host) or _QUERY.search(url) is not None


def is_secret_name(name: str) -> bool:
    """Return whether a variable of this name is likely to hold a secret."""
    return any(word in name.upper() for word in _SECRET_WORDS)


def hide_passwords(text: str) -> str:
    """Black out user and password in every URL of a text, keeping all columns where they are."""
    return _SECRET.sub(_stars, text)


def hide_in(value: Any) -> Any:
    """Return a JSON-able value with the passwords in all its texts blacked out."""
    if isinstance(value, str):
        return hide_passwords(value)
    if isinstance(value, dict):
        return {name: hide_in(one) for name, one in value.items()}
    return [hide_in(one) for one in value] if isinstance(value, list | tuple) else value


def _stars(found: re.Match[str]) -> str:
    if found["login"] is not None:
        return "*" * len(found.group())
    name, _, value = found.group().partition("=")
    return f"{name}={'*' * len(value)}"

"""Passwords in URLs: found, and blacked out wherever something is shown or kept."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urlsplit

_BEFORE_HOST = r"(?<=://)[^\s/@:\"']*:(?!\*+@)[^\s\"']+(?=@)"
_USER_BEFORE_HOST = r"(?:(?<=http://)|(?<=https://))(?!\*+@)[^\s/@:\"'?#]+(?=@)"
_PARAMETER = r"(?<=[?&])[^\s=&\"'#?]+=[^&\s\"'#]+"
_SETTING = r"(?:(?<![\w?&.%-])(?:password|passwd|pwd)\s*=\s*)(?:'[^'\n]*'|[^\s;&\"',]+)"
_SECRET = re.compile(
    f"(?P<login>{_BEFORE_HOST}|{_USER_BEFORE_HOST})|(?P<parameter>{_PARAMETER})|(?P<setting>{_SETTING})",
    re.IGNORECASE,
)
"""What may be one in any text: before a host, in a query, or a setting as drivers of databases write theirs."""
_WHOLE = re.compile(
    r"[a-z][a-z0-9+.-]*://(?P<login>[^/@:?#]*:(?!\*+@)[^\n]+)@[^/@\s\"'?#]*(?:[/?#]\S*)?", re.IGNORECASE
)
"""A text that is one URL, whose password may have any letters."""
_SECRET_PARAMETER = re.compile(
    r"password|passwd|pwd|secret|token|credential|signature|(access|account|api)[_-]?key|^(key|pass|sig|sas|auth)$",
    re.IGNORECASE,
)
_SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "API_KEY", "ACCESS_KEY")


def has_password(url: str) -> bool:
    """Return whether a URL holds a password, before its host or in its query."""
    try:
        parts = urlsplit(url)
        _ = parts.port
        before_host = bool(parts.password)
    except ValueError:  # no port: the password holds a slash, or this is no URL, and whoever opens it says so
        before_host = re.search(_BEFORE_HOST, url) is not None
    return before_host or any(_is_secret_parameter(found.group()) for found in re.finditer(_PARAMETER, url))


def is_secret_name(name: str) -> bool:
    """Return whether a variable of this name is likely to hold a secret."""
    return any(word in name.upper() for word in _SECRET_WORDS)


def hide_passwords(text: str) -> str:
    """Black out user and password in every URL of a text, keeping all columns where they are."""
    if (whole := _WHOLE.fullmatch(text)) is not None:
        start, end = whole.span("login")
        text = f"{text[:start]}{'*' * (end - start)}{text[end:]}"
    return _SECRET.sub(_stars, text)


def hide_in(value: Any) -> Any:
    """Return a JSON-able value with the passwords in all its texts blacked out."""
    if isinstance(value, str):
        return hide_passwords(value)
    if isinstance(value, dict):
        return {name: hide_in(one) for name, one in value.items()}
    return [hide_in(one) for one in value] if isinstance(value, list | tuple) else value


def _is_secret_parameter(parameter: str) -> bool:
    return _SECRET_PARAMETER.search(unquote(parameter.partition("=")[0])) is not None


def _stars(found: re.Match[str]) -> str:
    text = found.group()
    if found["login"] is not None:
        return "*" * len(text)
    if found["parameter"] is not None and not _is_secret_parameter(text):
        return text
    name, _, value = text.partition("=")
    return f"{name}={'*' * len(value)}"

"""The package's public names, and what importing them costs."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import adapterlab


def test_no_package_is_shadowed_by_a_function():
    """``import adapterlab.planning.compile as c`` reads attributes: a function in between would break it."""
    for module in pkgutil.walk_packages(adapterlab.__path__, "adapterlab."):
        assert module.name.removeprefix("adapterlab.") not in adapterlab.__all__
    import adapterlab.planning.compile as compiling

    assert compiling is sys.modules["adapterlab.planning.compile"]


def test_every_public_name_is_there():
    assert all(getattr(adapterlab, name) is not None for name in adapterlab.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = adapterlab.nothing


def test_importing_the_package_is_cheap():
    heavy = "print(any(name in sys.modules for name in ('torch', 'ray', 'sqlalchemy', 'pydantic')))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, adapterlab; {heavy}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"

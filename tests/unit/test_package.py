"""The package's public names stay functions, whatever was imported in between."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import adapterlab


@pytest.mark.parametrize("name", ["plan", "report", "export"])
def test_a_room_does_not_take_the_name_of_a_function(name):
    room = importlib.import_module(f"adapterlab.{name}")
    assert callable(getattr(adapterlab, name))
    assert sys.modules[f"adapterlab.{name}"] is room
    assert callable(getattr(adapterlab, name))


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

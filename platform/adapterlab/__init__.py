"""adapterlab: a declarative sweep platform for adapter transfer.

The public Python API; each name is imported when first used, so that ``import adapterlab`` is cheap.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapterlab.api import (
        cancel,
        compose,
        contributions,
        export,
        load_spec,
        open_catalog,
        plan,
        predict,
        report,
        status,
        submit,
    )

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "cancel",
    "compose",
    "contributions",
    "export",
    "load_spec",
    "open_catalog",
    "plan",
    "predict",
    "report",
    "status",
    "submit",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from adapterlab import api

        return getattr(api, name)
    raise AttributeError(f"module 'adapterlab' has no attribute {name!r}")


class _Package(ModuleType):
    """Keeps ``adapterlab.plan`` the function when the room of that name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

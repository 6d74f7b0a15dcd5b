"""adapterlab: a declarative sweep platform for adapter transfer.

The public Python API; each name is imported when first used, so that ``import adapterlab`` is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapterlab.api import (
        annotate_sweep,
        archive,
        cancel,
        compose,
        contributions,
        evaluate,
        export,
        import_adapters,
        kept_predictions,
        load_spec,
        open_catalog,
        plan,
        predict,
        publish,
        report,
        resampled,
        status,
        submit,
    )

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "annotate_sweep",
    "archive",
    "cancel",
    "compose",
    "contributions",
    "evaluate",
    "export",
    "import_adapters",
    "kept_predictions",
    "load_spec",
    "open_catalog",
    "plan",
    "predict",
    "publish",
    "report",
    "resampled",
    "status",
    "submit",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from adapterlab import api

        return getattr(api, name)
    raise AttributeError(f"module 'adapterlab' has no attribute {name!r}")

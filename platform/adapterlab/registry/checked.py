"""A base class of plug-ins that tells a misspelt override."""

from __future__ import annotations

import difflib
from typing import Any, ClassVar

from adapterlab.errors import PluginError

_NEAR = 0.85
"""How alike a name must be to one of the base class to count as misspelt."""


class Checked:
    """A base class whose sub-classes are checked when they are written: a misspelt override is an error."""

    page: ClassVar[str]
    """Page of the documentation that says how to write one."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = {name for name in vars(cls) if not name.startswith("_")}
        base: Any = next(one for one in cls.__mro__ if Checked in one.__bases__)
        known = {name for name in dir(base) if not name.startswith("_")} | set(base.__annotations__)
        for name in sorted(own - known):
            near = difflib.get_close_matches(name, known - own, n=1, cutoff=_NEAR)
            if near:
                raise PluginError(
                    f"{cls.__module__}.{cls.__qualname__}: a {base.__name__} has no {name!r}; "
                    f"did you mean {near[0]!r}?",
                    remedy=f"See {base.page}.",
                )

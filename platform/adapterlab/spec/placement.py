"""Where a cluster places workers, and what it prepares for them there."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, field_validator

from adapterlab.passwords import hide_passwords, is_secret_name
from adapterlab.spec.search_space import Frozen

_COUNTED = {"CPU": "cpus_per_worker", "GPU": "gpus_per_worker"}
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_LABEL_NAME = re.compile(rf"(?:[A-Za-z0-9.-]{{1,253}}/)?{_LABEL}")
_SELECTOR = re.compile(rf"!?{_LABEL}|!?in\({_LABEL}(?:, ?{_LABEL})*\)")

Texts = Annotated[tuple[str, ...], Field(strict=False)]


def check_resources(resources: dict[str, float]) -> dict[str, float]:
    """Check amounts of custom resources.

    Raises:
        ValueError: One has a key of its own, or an amount that Ray does not take.
    """
    for name, amount in resources.items():
        if name in _COUNTED:
            raise ValueError(f"{name} is cluster.{_COUNTED[name]}")
        if amount <= 0 or (amount > 1 and amount != int(amount)):
            raise ValueError(f"{name}: expected a whole number or a fraction between 0 and 1, got {amount:g}")
    return resources


def check_labels(labels: dict[str, str]) -> dict[str, str]:
    """Check what nodes must be labelled with.

    Raises:
        ValueError: A label's name, or what it is compared with, is malformed.
    """
    for name, wanted in labels.items():
        if not _LABEL_NAME.fullmatch(name):
            raise ValueError(f'{name!r} is no name of a label; expected one like "ray.io/accelerator-type"')
        if not _SELECTOR.fullmatch(wanted):
            raise ValueError(f"{name}: expected value, !value, in(a, b) or !in(a, b), got {wanted!r}")
    return labels


class RuntimeEnvSpec(Frozen):
    """What a cluster prepares on its nodes before workers start: Ray's runtime environment."""

    working_dir: str | None = None
    """Folder that workers start in, absolute, copied to every node; or the URL of a zip file of it."""
    py_modules: Texts = ()
    """Packages workers can import besides those installed: absolute folders, or URLs of zip files or wheels."""
    excludes: Texts = ()
    """What of these folders is not copied, as patterns of a ``.gitignore``."""
    pip: Texts = ()
    """Requirements that pip installs on top of what the node has."""
    uv: Texts = ()
    """The same, installed by uv; instead of ``pip``."""
    conda: str | None = None
    """Name of a conda environment that the nodes have, with adapterlab in it."""
    image_uri: str | None = None
    """Container image that workers run in, with adapterlab in it."""
    env_vars: dict[str, str] = Field(default_factory=dict)
    """Variables of the workers. Whoever uses the cluster sees them, so secrets belong on the nodes."""
    setup_timeout_s: Annotated[int, Field(ge=1)] | None = None
    """Seconds that preparing a node may take; absent: Ray's own, 600."""

    @field_validator("working_dir", "py_modules")
    @classmethod
    def _check_places(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        for place in (value,) if isinstance(value, str) else value or ():
            if not (place.startswith("/") or "://" in place):
                raise ValueError(f"expected an absolute path or a URL, got {place!r}")
        return value

    @field_validator("*")
    @classmethod
    def _check_passwords(cls, value: Any) -> Any:
        texts = [value] if isinstance(value, str) else [*value.values()] if isinstance(value, dict) else value
        if isinstance(texts, list | tuple) and any(hide_passwords(text) != text for text in texts):
            raise ValueError(
                "a spec is kept with its results, so it must hold no password; give it to the nodes instead"
            )
        return value

    @field_validator("env_vars")
    @classmethod
    def _check_secrets(cls, value: dict[str, str]) -> dict[str, str]:
        if secret := sorted(filter(is_secret_name, value)):
            raise ValueError(
                f"{', '.join(secret)}: a cluster shows the environment of its jobs to all its users; "
                "set it on the nodes instead"
            )
        return value

    def for_ray(self) -> dict[str, Any]:
        """Return it as ``ray.init`` takes it; empty where nothing is to be prepared."""
        given = {name: value for name, value in self.model_dump().items() if value}
        timeout_s = given.pop("setup_timeout_s", None)
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
        return lists if timeout_s is None else {**lists, "config": {"setup_timeout_seconds": timeout_s}}

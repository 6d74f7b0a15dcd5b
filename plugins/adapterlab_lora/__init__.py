"""LoRA: low-rank additions to the attention's projections."""

"""Bottleneck adapters: the Pfeiffer placement (one adapter a layer, after the feed-forward block)."""

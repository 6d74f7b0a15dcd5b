"""Houlsby adapters: a bottleneck after attention and one after the feed-forward block of each layer."""

"""Merges: one adapter made of a pool's parameters, without training."""

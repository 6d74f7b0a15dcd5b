"""Fused operations of a pass: one in plain torch, one in Triton, equal in what they compute."""

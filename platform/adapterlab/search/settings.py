"""What a setting is, for those who only read settings: costs no Optuna."""

from __future__ import annotations

Setting = float | str
"""A dimension's value; text only where the combiner is one."""

COMBINER = "combiner"
"""The dimension whose value decides which others there are, in a study that chooses the combiner. Its
combiners' own dimensions are stored as ``<combiner>.<dimension>``."""

"""How many rounds of chaos, and from which seed."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--rounds", type=int, default=None, help="rounds of chaos; default: 6")
    group.addoption("--seed", type=int, default=None, help="seed of the first round; default: 1")
    group.addoption(
        "--launcher", choices=["ray", "in_process"], default=None, help="only rounds with this launcher"
    )

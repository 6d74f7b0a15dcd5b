"""How many rounds of chaos, and from which seed; and what happened in them."""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--rounds", type=int, default=None, help="rounds of chaos; default: 30")
    group.addoption("--seed", type=int, default=None, help="seed of the first round; default: 1")
    group.addoption(
        "--launcher", choices=["ray", "in_process"], default=None, help="only rounds with this launcher"
    )
    group.addoption(
        "--sweep", default=None, help="only rounds with this sweep, see tests/support/chaos_sweeps.py"
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which faults happened, and how often."""
    faults: Counter[str] = Counter()
    sweeps: Counter[str] = Counter()
    reports = [one for outcome in ("passed", "failed") for one in terminalreporter.getreports(outcome)]
    for report in reports:
        told = dict(report.user_properties) if report.when == "call" else {}
        faults.update(told.get("faults", ()))
        if "sweep" in told:
            sweeps[told["sweep"]] += 1
    for title, counted in (("rounds of chaos", sweeps), ("faults in them", faults)):
        if counted:
            terminalreporter.section(title)
            for name, times in sorted(counted.items()):
                terminalreporter.write_line(f"{times:6} {name}")

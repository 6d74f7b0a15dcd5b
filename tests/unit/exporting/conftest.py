"""What this room's tests share: one process-wide world of trained things, and a home of their own."""

from __future__ import annotations

import shutil

import pytest
import torch

from tiny_trained import Trained, write_trained


@pytest.fixture(autouse=True)
def _one_thread():
    """Small products gain nothing from threads, and one thread is repeatable."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory) -> Trained:
    """Source adapters and transfers on a tiny BERT; not to be changed."""
    return write_trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def world(shared_world, monkeypatch) -> Trained:
    """The shared world as this process's home."""
    monkeypatch.setenv("ADAPTERLAB_HOME", str(shared_world.home))
    return shared_world


@pytest.fixture
def own_world(shared_world, tmp_path, monkeypatch) -> Trained:
    """A copy of the world that a test may damage."""
    home = tmp_path / "home"
    shutil.copytree(shared_world.home, home)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(home))
    return Trained(
        home, shared_world.backbone, shared_world.sources, shared_world.transfers, shared_world.study
    )

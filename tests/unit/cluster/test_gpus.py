"""Which cards a machine has, and why one that is there is not used, from what its driver says."""

from __future__ import annotations

import sys
from importlib import metadata

import pytest

from adapterlab.cluster import gpus
from adapterlab.cluster.gpus import find_gpus, worker_device
from adapterlab.spec.model import ClusterSpec

H100 = "0, GPU-11aa, NVIDIA H100 80GB HBM3, 81559, 81079, 9.0"
SECOND = "1, GPU-22bb, NVIDIA H100 80GB HBM3, 81559, 81079, 9.0"
T4 = "0, GPU-33cc, Tesla T4, 15360, 15000, 7.5"
K80 = "0, GPU-44dd, Tesla K80, 11441, 11000, 3.7"


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Install a driver's command that says some lines, and ends with a code."""

    def installed(*lines, code=0, torch="2.13.0"):
        command = tmp_path / "nvidia-smi"
        command.write_text(
            f"#!{sys.executable}\nimport sys\nprint({chr(10).join(lines)!r})\nsys.exit({code})\n"
        )
        command.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(
            gpus, "version", lambda name: torch if name == "torch" else metadata.version(name)
        )

    return installed


def test_a_card_is_found_and_taken_whole(driver):
    driver(H100)
    (card,) = find_gpus().usable
    assert (card.name, card.capability) == ("NVIDIA H100 80GB HBM3", (9, 0))
    device = worker_device(ClusterSpec(), "bfloat16")
    assert (device.gpus, device.words, device.cards) == (1.0, "NVIDIA H100 80GB HBM3 (80 GiB)", 1)


def test_of_several_cards_each_worker_has_one_and_this_process_the_first(driver):
    driver(H100, SECOND)
    assert worker_device(ClusterSpec()).words == "2 GPUs, one for each worker: NVIDIA H100 80GB HBM3 (80 GiB)"
    assert worker_device(ClusterSpec(launcher="in_process")).cards == 1


@pytest.mark.parametrize(
    ("line", "precision", "torch", "words"),
    [
        (H100, "float32", "2.13.0+cpu", "is there, but torch 2.13.0+cpu is built for the CPU alone"),
        (T4, "bfloat16", "2.13.0", "Tesla T4 cannot multiply bfloat16, which backbone.precision says"),
        (K80, "float32", "2.13.0", "Tesla K80 is too old for torch's builds"),
        (H100.replace("81079", "1000"), "float32", "2.13.0", "has 1.0 of 80 GiB free"),
    ],
)
def test_a_card_that_cannot_train_is_named_with_the_reason(driver, line, precision, torch, words):
    driver(line, torch=torch)
    found = find_gpus(precision)
    assert found.cards
    assert not found.usable
    assert words in found.obstacle
    device = worker_device(ClusterSpec(), precision)
    assert device.gpus == 0
    assert device.words == f"CPU ({found.obstacle})"


def test_a_card_without_bfloat16_trains_in_float32_and_half_a_card_is_said(driver):
    driver(T4)
    assert worker_device(ClusterSpec()).words == "Tesla T4 (15 GiB)"
    driver(H100.replace("81079", "30000"))
    assert worker_device(ClusterSpec()).words == "NVIDIA H100 80GB HBM3 (80 GiB, 29 GiB of them free)"


@pytest.mark.parametrize(
    ("visible", "names"), [("0", 1), ("1,0", 2), ("GPU-22bb", 1), ("GPU-22", 1), ("", 0), ("-1", 0), ("7", 0)]
)
def test_cards_that_the_environment_hides_are_not_there(driver, monkeypatch, visible, names):
    driver(H100, SECOND)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = find_gpus()
    assert len(found.cards) == names
    assert found.obstacle == (None if names else f"CUDA_VISIBLE_DEVICES={visible!r} hides the GPUs")


@pytest.mark.parametrize("code", [9, 255])
def test_a_driver_that_does_not_answer_is_as_none(driver, code):
    driver("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", code=code)
    assert not find_gpus().cards
    assert worker_device(ClusterSpec()).gpus == 0


def test_what_is_not_known_of_a_card_does_not_hide_it(driver):
    driver("0, GPU-11aa, NVIDIA GB10, [N/A], [N/A], 12.1")
    assert worker_device(ClusterSpec()).words == "NVIDIA GB10"


def test_a_spec_that_says_is_followed_and_a_cluster_is_asked_later(driver):
    driver(H100)
    assert worker_device(ClusterSpec(gpus_per_worker=0)).words == "CPU, as cluster.gpus_per_worker = 0 says"
    assert worker_device(ClusterSpec(gpus_per_worker=0.25)).words == "0.25 GPU a worker"
    assert worker_device(ClusterSpec(address="auto")).gpus is None

"""A vector is made once, by whoever comes first, and made again where its file is damaged."""

from __future__ import annotations

import threading
import time

import numpy as np

from adapterlab.caching.vectors import kept_vector


def test_a_vector_is_made_once_though_many_want_it_at_once(tmp_path):
    made = []

    def make():
        made.append(1)
        time.sleep(0.05)
        return np.array([1.5, -2.0])

    found = []
    wanting = [
        threading.Thread(target=lambda: found.append(kept_vector(tmp_path, "kind", "key", make)))
        for _ in range(5)
    ]
    for one in wanting:
        one.start()
    for one in wanting:
        one.join()
    assert len(made) == 1
    assert [one.tolist() for one in found] == [[1.5, -2.0]] * 5


def test_a_damaged_file_is_made_again_and_no_draft_is_left(tmp_path):
    def make():
        return np.array([3.0])

    kept_vector(tmp_path, "kind", "key", make)
    path = tmp_path / "kind" / "key.npy"
    for damaged in (b"", b"not an array", path.read_bytes()[:-4]):
        path.write_bytes(damaged)
        assert kept_vector(tmp_path, "kind", "key", make).tolist() == [3.0]
    np.save(path, np.array([np.nan]))
    assert kept_vector(tmp_path, "kind", "key", make).tolist() == [3.0]
    assert sorted(one.name for one in path.parent.iterdir()) == ["key.lock", "key.npy"]

#!/usr/bin/env bash
# Ray 2.60.0: in a label selector with a list, a space behind a comma is part of the next value.
#
# `label_selector={"card": "in(H100, A100)"}` is accepted (the pattern it is checked by allows the space, and its comments give
# such lists as valid), and then compares nodes with "H100" and " A100". So a task that an A100 may take waits without end, and
# `!in(H100, A100)` lets it run on the A100 it should keep off. Without the space both do what they say.
#
# Seen: in(H100,A100) runs; in(H100, A100) waits; !in(H100,A100) waits; !in(H100, A100) runs
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check ray==2.60.0
cd "$folder"
RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0 "$folder/venv/bin/python" -W ignore - 2>/dev/null <<'PYTHON' | tail -n 1
import ray

ray.init(num_cpus=1, labels={"card": "A100"}, include_dashboard=False, log_to_driver=False)


@ray.remote(num_cpus=1)
def run():
    return True


ray.get(run.remote())  # the node's worker is there
seen = []
for selector in ("in(H100,A100)", "in(H100, A100)", "!in(H100,A100)", "!in(H100, A100)"):
    task = run.options(label_selector={"card": selector}).remote()
    done, _ = ray.wait([task], timeout=15)
    seen.append("runs" if done else "waits")
    ray.cancel(task, force=False)
    print(f"{selector} {seen[-1]}", end="; ")
print()
assert seen == ["runs", "waits", "waits", "runs"], "this has changed"
PYTHON

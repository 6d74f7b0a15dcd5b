"""A worker process for the tests: asks a study until its budget is spent.

Arguments: URL, study, worker id, trials, seconds per trial. Prints one line a finished trial. With
trials = 0 it only initialises the storage.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from adapterlab.search.storage import initialise
from adapterlab.search.study import SearchRecipe, StudySearch
from adapterlab.spec.search_space import FloatRange

url, name, worker, trials, seconds = sys.argv[1:6]
if int(trials) == 0:
    initialise(url, Path(name))
    sys.exit(0)
with StudySearch.open(
    url,
    name,
    SearchRecipe(
        spaces={"lr": FloatRange(low=1e-4, high=1e-2, log=True), "init_scale": 2.0},
        pruner="none",
        trials=int(trials),
    ),
) as search:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while (proposal := search.ask(worker)) is not None:
        for epoch in (1, 2):
            time.sleep(float(seconds))
            proposal.report(proposal.settings["lr"] * epoch, epoch)
        search.tell_complete(proposal.number, proposal.settings["lr"])
        sys.stdout.write(f"{proposal.number} {proposal.taken_over}\n")
        sys.stdout.flush()

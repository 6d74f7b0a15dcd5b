"""What must be done: a spec becomes keyed steps. Pure: no disk, no network, no torch."""

"""Joint multi-task methods: one model over all tasks, in which every task has an adapter."""

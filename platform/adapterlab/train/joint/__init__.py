"""Joint training: one model over all tasks, which every step trains with a batch of one of them."""

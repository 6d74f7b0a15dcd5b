"""What does the work of a sweep: source adapters, studies and final runs; with or without Ray."""

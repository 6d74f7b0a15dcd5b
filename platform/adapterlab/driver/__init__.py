"""The driver of a sweep: what is missing, whose it is, and who does it. Starts no process itself."""

"""What is computed once on a machine and kept by what it was computed from."""

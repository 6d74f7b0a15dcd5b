"""HumSet's five multi-label tasks."""

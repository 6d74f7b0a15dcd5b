"""What can be plugged in: base classes, task definitions, and their look-up by entry point."""

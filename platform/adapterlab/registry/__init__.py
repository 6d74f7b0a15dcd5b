"""What can be plugged in: protocols, entry points, contract tests."""

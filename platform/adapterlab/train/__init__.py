"""The only core floor that imports torch: frozen backbone, lanes, loop."""

"""The two ends of the scale: training the head alone, and training everything."""

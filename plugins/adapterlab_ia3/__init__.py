"""(IA)³: learned factors on keys, values and the feed-forward block's inner units."""

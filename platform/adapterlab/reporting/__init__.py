"""Tables, heatmaps and significance from what the catalog knows."""

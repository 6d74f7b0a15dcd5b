"""Tasks, splits, preprocessing, metrics; and where a backbone's files are."""

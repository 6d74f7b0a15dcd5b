"""Where a backbone's files are, and what is known of it before it is loaded."""

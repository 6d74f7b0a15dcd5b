"""A task suite that makes its own rows: four skills, each as a large and a small task."""

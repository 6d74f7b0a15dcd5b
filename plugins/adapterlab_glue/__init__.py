"""Task suites of the papers whose rows come from a folder: GLUE, SuperGLUE, AdapterFusion's SICK."""

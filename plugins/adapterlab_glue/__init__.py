"""GLUE's eight tasks of the papers, and WNLI."""

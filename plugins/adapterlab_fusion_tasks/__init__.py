"""AdapterFusion's tasks that are in neither GLUE nor SuperGLUE."""

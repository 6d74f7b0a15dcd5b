"""SuperGLUE's eight tasks, formatted as in ScaLearn."""

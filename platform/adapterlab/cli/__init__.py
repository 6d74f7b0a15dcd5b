"""The command line: thin, one file a command, imported only when called."""

import os

# Pydantic would search every installed package for plug-ins of its own, 15 ms of each cold start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

"""What the tests of this room share."""

from model_folders import ask_hub, cache, hub, model_folder  # noqa: F401 - fixtures

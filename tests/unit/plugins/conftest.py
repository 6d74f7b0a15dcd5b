"""What the tests of this room share."""

from model_folders import cache, model_folder  # noqa: F401 - fixtures

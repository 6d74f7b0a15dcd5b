"""What the tests of this room share."""

from model_folders import cache  # noqa: F401 - a fixture

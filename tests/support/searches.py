"""Studies opened with their settings in one row of keywords."""

from __future__ import annotations

from typing import Any

from adapterlab.search.study import SearchRecipe, StudySearch


def open_search(url: str, name: str, **options: Any) -> StudySearch:
    """Open a study; keywords are those of a recipe, or of ``StudySearch.open``."""
    opening = {
        key: options.pop(key)
        for key in ("attributes", "guard", "locks", "patience", "title")
        if key in options
    }
    return StudySearch.open(url, name, SearchRecipe(**options), **opening)

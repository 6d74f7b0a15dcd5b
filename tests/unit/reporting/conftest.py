"""Fixtures: an open, empty catalog."""

from catalogs import catalog, catalog_url, sqlite_catalog

__all__ = ["catalog", "catalog_url", "sqlite_catalog"]

"""Fixtures: a fresh database of either kind, and an open, empty catalog on it."""

from catalogs import catalog, catalog_url, database_url, postgres_catalog, postgres_url, sqlite_catalog

__all__ = ["catalog", "catalog_url", "database_url", "postgres_catalog", "postgres_url", "sqlite_catalog"]

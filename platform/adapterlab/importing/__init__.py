"""Adapters that exist already: read from folders and hubs, checked, put into the catalog, placed in pools."""

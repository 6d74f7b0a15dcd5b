"""The only floor that imports ray."""

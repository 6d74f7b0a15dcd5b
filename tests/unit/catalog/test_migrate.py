"""Finding the migrations, and the light way of opening."""

from __future__ import annotations

import subprocess
import sys

import pytest

from adapterlab.catalog import migrate
from adapterlab.errors import AdapterlabError
from catalogs import open_at, put_adapter

OPEN = """
import sys
from pathlib import Path
from adapterlab.catalog.store import open_catalog
folder = Path(sys.argv[1])
with open_catalog(f"sqlite:///{folder / 'catalog.db'}", str(folder / "blobs"), locks=folder / "locks") as catalog:
    print(len(catalog.adapters()))
heavy = {"torch", "ray", "mlflow", "optuna", "transformers", "alembic", "psycopg", "numpy"}
print(sorted(heavy & set(sys.modules)))
"""


def test_opening_and_listing_a_current_catalog_imports_nothing_heavy(tmp_path):
    with open_at(f"sqlite:///{tmp_path / 'catalog.db'}", tmp_path) as catalog:
        put_adapter(catalog, "a")
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n[]\n"


def test_the_migrations_inside_the_wheel_come_first(tmp_path, monkeypatch):
    package = tmp_path / "adapterlab" / "catalog"
    (package / "_migrations" / "versions").mkdir(parents=True)
    (package / "_migrations" / "env.py").touch()
    (package / "_migrations" / "versions" / "20270101_abc123_later.py").touch()
    (package / "_migrations" / "versions" / "notes.py").touch()
    monkeypatch.setattr(migrate, "__file__", str(package / "migrate.py"))
    assert migrate.migrations_folder() == package / "_migrations"
    assert migrate.known_revisions() == ("abc123",)


def test_a_broken_installation_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(migrate, "__file__", str(tmp_path / "a" / "b" / "c" / "migrate.py"))
    with pytest.raises(AdapterlabError, match="no database migrations"):
        migrate.migrations_folder()

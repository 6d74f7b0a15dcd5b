"""Passwords in URLs are found and blacked out, wherever in the URL they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.passwords import has_password, hide_in, hide_passwords
from adapterlab.search import storage
from adapterlab.tracking import store

WITH = [
    "postgresql+psycopg://me:HUSH@host/db",
    "postgresql+psycopg://host/db?password=HUSH",
    "postgresql+psycopg://host/db?user=me&password=HUSH&connect_timeout=3",
    "postgresql+psycopg://host/db?sslpassword=HUSH",
    "https://me:HUSH@tracking.example/ui",
    "s3://bucket/x?secret_access_key=HUSH",
]
WITHOUT = [
    "postgresql+psycopg://me@host/db",
    "https://host:5000/a?x=a:b",
    "sqlite:////home/me/a@b:c/catalog.db",
    "s3://bucket/adapters",
]


@pytest.mark.parametrize("url", WITH)
def test_a_password_is_found_and_hidden(url):
    assert has_password(url)
    text = f"cannot use {url}: no answer"
    assert "HUSH" not in hide_passwords(text)
    assert len(hide_passwords(text)) == len(text)
    assert "HUSH" not in str(hide_in({"message": [text], "count": 1}))


@pytest.mark.parametrize("url", WITHOUT)
def test_a_url_without_one_stays_as_it_is(url):
    assert not has_password(url)
    assert hide_passwords(url) == url


@pytest.mark.parametrize("url", [url for url in WITH if url.startswith("postgresql")])
def test_the_stores_show_their_urls_without_it(url):
    assert "HUSH" not in storage.display_url(url)
    assert "HUSH" not in store.display_url(url)


@given(st.text(alphabet="ab?&=:/@%. \n\"'", max_size=40))
def test_any_text_keeps_its_length(text):
    assert len(hide_passwords(text)) == len(text)

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
    "s3://bucket/x?key=HUSH&secret=HUSH",
    "abfs://box@account/x?account_key=HUSH",
    "https://store.example/x?X-Amz-Credential=HUSH&X-Amz-Signature=HUSH",
    "https://store.example/x?sig=HUSH",
    "https://tracking.example/?api_key=HUSH",
    "postgresql+psycopg://host/db?pass%77ord=HUSH",
    "postgresql+psycopg://me:a/HUSH@host/db",
]
BY_ITSELF = [
    "postgresql://me:it is HUSH@host/db",
    "postgresql://me:it's-HUSH@host/db?a=b",
    'postgresql://:"HUSH@host',
]
"""Passwords with letters that a URL must escape: hidden where the text is that URL and nothing else."""
SAID = [
    "connection failed: host=db password=HUSH dbname=x",
    "Server=db;Pwd=HUSH;Port=1",
    "user='me' password = 'two HUSH words'",
    "cannot reach https://HUSH@tracking.example/api",
]
WITHOUT = [
    "postgresql+psycopg://me@host/db",
    "https://host:5000/a?x=a:b",
    "sqlite:////home/me/a@b:c/catalog.db",
    "s3://bucket/adapters",
    "postgresql://db1:5432,db2:5433/x?sslkey=/home/me/key&passfile=/home/me/.pgpass",
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


@pytest.mark.parametrize("url", BY_ITSELF)
def test_a_text_that_is_one_url_may_have_any_letters_in_its_password(url):
    assert has_password(url)
    assert "HUSH" not in hide_passwords(url)
    assert len(hide_passwords(url)) == len(url)


@pytest.mark.parametrize("text", SAID)
def test_what_drivers_say_of_a_password_is_hidden(text):
    assert "HUSH" not in hide_passwords(text)
    assert len(hide_passwords(text)) == len(text)


@given(st.text(alphabet="ab?&=:/@%. \n\"'", max_size=40))
def test_any_text_keeps_its_length(text):
    assert len(hide_passwords(text)) == len(text)

"""Numbers by counter: the published ones, evenly spread, and those of rows, columns, sites and lanes independent."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.train.counters import kept, levels, philox, words_of_site

ROWS, COLUMNS = 4000, 256
SITE = words_of_site(3, 1)
PHI = 0x9E3779B9


@pytest.mark.parametrize(
    ("key", "counter", "wanted"),
    [
        (0, (0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (-1, (0xFFFFFFFF,) * 4, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            0x299F31D0A4093822,
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_its_authors(key, counter, wanted):
    assert tuple(int(word) for word in philox(torch.tensor(key), counter)) == wanted


def drawn(key=11, site=SITE, *, rows=ROWS, first=0, columns=COLUMNS, probability=0.5):
    return kept(
        torch.tensor(key),
        (torch.arange(rows)[:, None], first),
        site,
        torch.arange(columns),
        levels(probability),
    )


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.3, 0.5, 0.9])
def test_the_share_of_zeros_is_the_probability_in_every_column(probability):
    zeros = (~drawn(probability=probability)).double()
    spread = (probability * (1 - probability) / ROWS) ** 0.5
    assert (zeros.mean(0) - probability).abs().max().item() <= 5 * spread + 2**-16
    assert (zeros.mean() - probability).abs().item() <= 5 * spread / COLUMNS**0.5 + 2**-16


def test_columns_rows_sites_lanes_and_heads_are_independent():
    def signs(**other):
        return drawn(**other).double() * 2 - 1

    own = signs()
    between = (own.T @ own / ROWS).fill_diagonal_(0)  # 256 columns
    assert between.abs().max().item() < 6 / ROWS**0.5
    among = (own @ own.T / COLUMNS).fill_diagonal_(0)  # 4,000 rows: 8 million pairs
    assert among.abs().max().item() < 6.5 / COLUMNS**0.5
    for other in (
        signs(key=12),
        signs(first=1),
        signs(site=words_of_site(3, 2)),
        own.roll(1, 0),
        own.roll(1, 1),
    ):
        assert (own * other).mean().abs().item() < 5 / (ROWS * COLUMNS) ** 0.5


def test_pairs_and_triples_of_neighbours_are_even():
    """A dropped entry says nothing of the next two."""
    bits = drawn().long()
    triples = bits[:, :-2] * 4 + bits[:, 1:-1] * 2 + bits[:, 2:]
    counts = torch.bincount(triples.flatten(), minlength=8).double()
    assert ((counts / counts.sum() - 1 / 8).abs() < 5 * (7 / 64 / counts.sum()) ** 0.5 * 3).all()


@given(st.integers(0, 2**62), st.integers(0, 60), st.integers(0, 2000))
def test_an_entrys_number_depends_on_nothing_else_that_is_drawn(key, row, column):
    alone = kept(torch.tensor(key), (torch.tensor(row), 0), SITE, torch.tensor(column), levels(0.5))
    among = drawn(key, rows=61, columns=2001)
    assert bool(alone) is bool(among[row, column])


def test_sites_have_words_of_their_own():
    sites = [(layer, where, drawn) for layer in range(50) for where in range(10) for drawn in range(4)]
    assert len({words_of_site(*site) for site in sites}) == len(sites)
    assert all(0 <= word < 2**31 for site in sites for word in words_of_site(*site))

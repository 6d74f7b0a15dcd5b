"""Where the bottlenecks of a layer stand: behind both sub-blocks, as in the paper, or behind one of them."""

from __future__ import annotations

import pytest

from adapterlab.errors import UsageError
from adapterlab_encoder.config import encoder_shape
from adapterlab_houlsby.plugin import HOULSBY, HoulsbySettings

BASE = encoder_shape(12, 768, 3072)


def test_of_one_place_there_are_half_as_many_parameters():
    counts = {
        place: HOULSBY.trainable_parameters(HoulsbySettings(placement=place), BASE)
        for place in ("both", "attention", "feed_forward")
    }
    assert counts == {"both": 1_789_056, "attention": 894_528, "feed_forward": 894_528}


def test_both_places_are_in_no_key():
    assert HoulsbySettings(placement="both").model_dump(mode="json") == {
        "reduction_factor": 16,
        "non_linearity": "swish",
    }
    assert HoulsbySettings(placement="attention").model_dump(mode="json")["placement"] == "attention"


def test_adapters_of_other_places_share_no_pool():
    one, other = HoulsbySettings(placement="attention"), HoulsbySettings(placement="feed_forward")
    with pytest.raises(UsageError, match="placement: attention, feed_forward"):
        HOULSBY.pooled([one, other])
    assert HOULSBY.pooled([one, HoulsbySettings(placement="attention", reduction_factor=8)]) == one

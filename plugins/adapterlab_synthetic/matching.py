"""Skill 2, alignment: do two sentences tell the same event, however they word it?"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from adapterlab_synthetic.draw import Draw
from adapterlab_synthetic.world import Noun, Verb, World


@dataclass(frozen=True)
class Event:
    """Who did what with which thing, and where: five parts, each drawn by itself."""

    agent: str
    deed: Verb
    quality: str
    thing: Noun
    place: str


PARTS = tuple(part.name for part in fields(Event))
"""The parts of an event; similarity is the number of equal ones."""


def event(world: World, draw: Draw) -> Event:
    """Return a random event."""
    return Event(*(draw.pick(choices) for choices in _choices(world).values()))


def changed(one: Event, world: World, draw: Draw, parts: int) -> Event:
    """Return an event that differs from ``one`` in exactly so many parts."""
    choices = _choices(world)
    return replace(
        one,
        **{
            part: draw.pick([value for value in choices[part] if value != getattr(one, part)])
            for part in draw.sample(PARTS, parts)
        },
    )


def told(one: Event, style: int) -> str:
    """Return the event as a sentence; ``style`` in [0, 3): active, passive, or place first."""
    what = f"the {one.quality} {one.thing.one}"
    if style == 0:
        return f"{one.agent} {one.deed.past} {what} {one.place}"
    if style == 1:
        return f"{what} was {one.deed.participle} by {one.agent} {one.place}"
    return f"{one.place} {one.agent} {one.deed.past} {what}"


def two_styles(draw: Draw) -> tuple[int, int]:
    """Return two different styles."""
    first, second = draw.sample(range(3), 2)
    return first, second


def _choices(world: World) -> dict[str, tuple[Any, ...]]:
    return dict(
        zip(PARTS, (world.names, world.handlings, world.qualities, world.things, world.places), strict=True)
    )

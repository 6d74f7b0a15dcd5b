"""What a report mentions, any number of things: for a multi-label task."""

from __future__ import annotations

from adapterlab_synthetic.draw import Draw
from adapterlab_synthetic.world import World

LABELS = ("denial", "judgement", "person", "place", "quality", "time")
"""What a report may mention, in the order of the labels' ids."""
_PERCENT = 40
"""How often each is mentioned, independently of the others."""


def report(world: World, draw: Draw) -> tuple[str, list[str]]:
    """Return a report and the names of what it mentions."""
    mentioned = [name for name in LABELS if draw.chance(_PERCENT)]
    who = draw.pick(world.names) if "person" in mentioned else "somebody"
    verb = draw.pick(world.handlings)
    done = f"did not {verb.base}" if "denial" in mentioned else verb.past
    what = draw.pick(world.things).one
    if "quality" in mentioned:
        what = f"{draw.pick(world.qualities)} {what}"
    where = f" {draw.pick(world.places)}" if "place" in mentioned else ""
    when = f" {draw.pick(world.times)}" if "time" in mentioned else ""
    text = f"{who} {done} the {what}{where}{when}"
    if "judgement" in mentioned:
        word = draw.pick(world.praise if draw.chance(50) else world.blame)
        text += f" and the {draw.pick(world.subjects)} was {word}"
    return text, mentioned

"""Skill 4, opinion: praise or blame, turned round by each shifter that stands before it."""

from __future__ import annotations

from adapterlab_synthetic.draw import Draw
from adapterlab_synthetic.world import World

_SHIFTERS = ("not {}", "hardly {}", "never {}", "anything but {}", "far from {}", "not at all {}")
_PLAIN = ("{}", "very {}", "really {}", "quite {}", "simply {}")
_FRAMES = ("the {what} was {how}", "I found the {what} {how}", "honestly, the {what} was {how}")
_DENIED = (
    "nobody would say the {what} was {how}",
    "I do not think the {what} was {how}",
    "it is false that the {what} was {how}",
)


def opinion(world: World, draw: Draw, good: bool) -> str:
    """Return a judgement that is favourable or not; 0, 1 or 2 shifters turn its adjective round."""
    shifters = draw.pick((0, 1, 1, 2))
    approving = good == (shifters % 2 == 0)
    word = draw.pick(world.praise if approving else world.blame)
    inner = draw.chance(50) if shifters == 1 else shifters == 2
    how = draw.pick(_SHIFTERS if inner else _PLAIN).format(word)
    outer = shifters - inner
    return draw.pick(_DENIED if outer else _FRAMES).format(what=draw.pick(world.subjects), how=how)

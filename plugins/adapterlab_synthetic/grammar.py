"""Skill 3, acceptability: is the sentence well-formed? One word of an ill-formed one is wrong."""

from __future__ import annotations

from adapterlab_synthetic.draw import Draw
from adapterlab_synthetic.world import World


def sentence(world: World, draw: Draw, good: bool) -> str:
    """Return a well-formed sentence, or one with a single fault."""
    return draw.pick((_auxiliary, _reflexive, _case, _order))(world, draw, good)


def _auxiliary(world: World, draw: Draw, good: bool) -> str:
    """An auxiliary wants its verb in one form: has broken, did not break, will break."""
    verb, thing = draw.pick(world.handlings), draw.pick(world.things)
    helper, right, wrong = draw.pick(
        (
            ("has", verb.participle, verb.base),
            ("did not", verb.base, verb.past),
            ("will", verb.base, verb.past),
            ("wants to", verb.base, verb.past),
        )
    )
    return f"{draw.pick(world.names)} {helper} {right if good else wrong} the {thing.one}"


def _reflexive(world: World, draw: Draw, good: bool) -> str:
    """A reflexive agrees with its person: Anna … herself."""
    woman = draw.chance(50)
    name = draw.pick(world.women if woman else world.men)
    own = "herself" if woman == good else "himself"
    return f"{name} {draw.pick(world.deeds).past} {own} {draw.pick(world.times)}"


def _case(world: World, draw: Draw, good: bool) -> str:
    """A pronoun shows whether it acts or suffers: she called, called her."""
    deed = draw.pick(world.deeds).past
    subject, object_ = draw.pick((("she", "her"), ("he", "him"), ("they", "them")))
    if draw.chance(50):
        return f"{subject if good else object_} {deed} {draw.pick(world.names)} {draw.pick(world.times)}"
    return f"{draw.pick(world.names)} {deed} {object_ if good else subject} {draw.pick(world.times)}"


def _order(world: World, draw: Draw, good: bool) -> str:
    """A determiner and an adjective stand before their noun."""
    person, verb = draw.pick(world.people).one, draw.pick(world.handlings).past
    quality, thing = draw.pick(world.qualities), draw.pick(world.things).one
    if draw.chance(50):
        return (
            f"the {person} {verb} the {quality} {thing}"
            if good
            else f"the {person} {verb} the {thing} {quality}"
        )
    return f"the {person} {verb} the {thing}" if good else f"{person} the {verb} the {thing}"

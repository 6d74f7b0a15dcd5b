"""Skill 1, inference: quantifiers and negation, who did it to whom, classes and their members."""

from __future__ import annotations

from adapterlab_synthetic.draw import Draw
from adapterlab_synthetic.world import Verb, World

RELATIONS = ("entailment", "neutral", "contradiction")
"""How a hypothesis may stand to a premise."""

# The relation of the second quantifier to the first, over a class that is not empty.
_E, _N, _C = RELATIONS
QUANTIFIERS = {
    "all": {"all": _E, "some": _E, "no": _C, "not all": _C},
    "some": {"all": _N, "some": _E, "no": _C, "not all": _N},
    "no": {"all": _C, "some": _C, "no": _E, "not all": _E},
    "not all": {"all": _C, "some": _N, "no": _N, "not all": _E},
}
"""``QUANTIFIERS[premise][hypothesis]`` is their relation."""
_FORMS = {
    "all": ("all the {many} {past}", "every {one} {past}"),
    "some": ("some {many} {past}", "at least one {one} {past}"),
    "no": ("no {one} {past}", "none of the {many} {past}"),
    "not all": ("not all the {many} {past}", "not every {one} {past}"),
}


def inference(world: World, draw: Draw, relation: str) -> tuple[str, str]:
    """Return a premise and a hypothesis that stand in the given relation."""
    return draw.pick((_quantified, _roles, _classes))(world, draw, relation)


def _quantified(world: World, draw: Draw, relation: str) -> tuple[str, str]:
    first, second = draw.pick(
        [(one, two) for one, row in QUANTIFIERS.items() for two, truth in row.items() if truth == relation]
    )
    noun, act = draw.pick(world.people), draw.pick(world.acts)
    forms = (
        draw.sample(_FORMS[first], 2) if first == second else map(draw.pick, (_FORMS[first], _FORMS[second]))
    )
    premise, hypothesis = (form.format(one=noun.one, many=noun.many, past=act.past) for form in forms)
    return premise, hypothesis


def _roles(world: World, draw: Draw, relation: str) -> tuple[str, str]:
    """Exchanged persons make another event, of which the premise says nothing."""
    agent, patient = draw.sample(world.names, 2)
    deed = draw.pick(world.deeds)
    denied, passive = draw.chance(30), draw.chance(40)
    premise = _clause(agent, deed, patient, denied=denied, passive=passive)
    if relation == _N:
        other_denied, other_passive = draw.chance(30), draw.chance(50)
        return premise, _clause(patient, deed, agent, denied=other_denied, passive=other_passive)
    other_denied = denied != (relation == _C)
    # the same words twice would be too easy: where nothing is denied anew, the voice changes
    other_passive = not passive if relation == _E else draw.chance(50)
    return premise, _clause(agent, deed, patient, denied=other_denied, passive=other_passive)


def _clause(agent: str, deed: Verb, patient: str, *, denied: bool, passive: bool) -> str:
    if passive:
        return f"{patient} was {'not ' if denied else ''}{deed.participle} by {agent}"
    return f"{agent} did not {deed.base} {patient}" if denied else f"{agent} {deed.past} {patient}"


def _classes(world: World, draw: Draw, relation: str) -> tuple[str, str]:
    """What holds of the narrow holds of the wide; what fails of the wide fails of the narrow."""
    narrow, wide = _narrow_and_wide(world, draw)
    name, deed = draw.pick(world.names), draw.pick(world.handlings)
    first_side = draw.chance(50)

    def told(thing: str, *, denied: bool) -> str:
        article = "an" if thing[0] in "aeiou" else "a"
        return f"{name} {f'did not {deed.base}' if denied else deed.past} {article} {thing}"

    if relation == _E:
        if first_side:
            return told(narrow, denied=False), told(wide, denied=False)
        return told(wide, denied=True), told(narrow, denied=True)
    if relation == _N:
        if first_side:
            return told(wide, denied=False), told(narrow, denied=draw.chance(50))
        return told(narrow, denied=True), told(wide, denied=draw.chance(50))
    if first_side:
        return told(narrow, denied=False), told(wide, denied=True)
    return told(wide, denied=True), told(narrow, denied=False)


def _narrow_and_wide(world: World, draw: Draw) -> tuple[str, str]:
    if draw.chance(50):
        member, kind = draw.pick(world.kinds)
        return member.one, kind.one
    thing = draw.pick(world.things).one
    return f"{draw.pick(world.qualities)} {thing}", thing

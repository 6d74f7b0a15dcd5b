"""The words of the suite's two small worlds.

Large tasks speak of the town, small ones of the farm. The two share function words and grammar but
no name, noun, verb or adjective, so that what a small task gains from a large one is the skill and
not the words. A test holds them apart.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """A countable noun."""

    one: str
    many: str


@dataclass(frozen=True)
class Verb:
    """A verb in the forms the grammars need."""

    base: str
    past: str
    participle: str


@dataclass(frozen=True)
class World:
    """One set of words."""

    name: str
    women: tuple[str, ...]
    men: tuple[str, ...]
    people: tuple[Noun, ...]
    """Persons by trade or kind."""
    things: tuple[Noun, ...]
    kinds: tuple[tuple[Noun, Noun], ...]
    """Pairs of a noun and the class it belongs to."""
    acts: tuple[Verb, ...]
    """What one does, intransitive."""
    deeds: tuple[Verb, ...]
    """What one does to another, transitive."""
    handlings: tuple[Verb, ...]
    """What one does with a thing, transitive; no two forms of a verb are alike but past and participle."""
    qualities: tuple[str, ...]
    """Adjectives of things, without a value."""
    places: tuple[str, ...]
    times: tuple[str, ...]
    subjects: tuple[str, ...]
    """What is judged in an opinion."""
    praise: tuple[str, ...]
    """Adjectives that approve."""
    blame: tuple[str, ...]
    """Adjectives that disapprove."""

    @property
    def names(self) -> tuple[str, ...]:
        """All proper names."""
        return self.women + self.men


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in text.split(","))


def _nouns(text: str) -> tuple[Noun, ...]:
    return tuple(Noun(one, one + "s") for one in text.split())


def _kinds(text: str) -> tuple[tuple[Noun, Noun], ...]:
    pairs = (phrase.split() for phrase in _phrases(text))
    return tuple((Noun(one, one + "s"), Noun(kind, kind + "s")) for one, kind in pairs)


def _verbs(text: str) -> tuple[Verb, ...]:
    """Read verbs as ``base past [participle]``; the participle is the past form if absent."""
    forms = (phrase.split() for phrase in _phrases(text))
    return tuple(Verb(form[0], form[1], form[-1]) for form in forms)


TOWN = World(
    name="town",
    women=_words("Anna Emma Julia Laura Maria Nina Olivia Sarah Sophie Helen"),
    men=_words("Adam Daniel David Jack Leo Mark Oscar Paul Peter Simon"),
    people=_nouns(
        "baker doctor driver lawyer painter singer student teacher tourist waiter writer banker guard "
        "nurse clerk pilot"
    ),
    things=_nouns("book camera cup lamp letter phone picture ticket clock coat chair mirror"),
    kinds=_kinds(
        """car vehicle, guitar instrument, piano instrument, hammer tool, shirt garment, novel book,
        coat garment, taxi vehicle, cake dessert, ring jewel"""
    ),
    acts=_verbs(
        """sing sang sung, laugh laughed, sleep slept, wait waited, smile smiled, dance danced,
        talk talked, work worked, leave left, arrive arrived, drink drank drunk"""
    ),
    deeds=_verbs(
        """help helped, call called, follow followed, thank thanked, visit visited, watch watched,
        praise praised, greet greeted, interview interviewed, invite invited"""
    ),
    handlings=_verbs(
        """buy bought, sell sold, lose lost, find found, paint painted, break broke broken,
        steal stole stolen, repair repaired"""
    ),
    qualities=_words("red blue old new small large black white heavy square"),
    places=_phrases(
        """at the station, in the library, at the museum, in the office, at the hotel, in the cafe,
        at the airport, in the street"""
    ),
    times=_phrases(
        "on Monday, on Tuesday, on Friday, in the morning, at noon, at midnight, last week, in June"
    ),
    subjects=_words("film movie plot acting script novel concert play ending music story cast"),
    praise=_words(
        """good great funny brilliant charming clever moving exciting beautiful enjoyable impressive
        wonderful"""
    ),
    blame=_words("bad boring dull awful terrible stupid weak tedious ugly disappointing annoying horrible"),
)
"""The world of the large tasks."""

FARM = World(
    name="farm",
    women=_words("Alice Clara Ellen Grace Irene Martha Rosa Ruth"),
    men=_words("Albert Carl Edward Frank George Henry Oliver Walter"),
    people=_nouns("farmer hunter shepherd gardener rider neighbor builder miller worker cousin ranger"),
    things=_nouns("basket bucket rope fence ladder barrel blanket wagon saddle gate"),
    kinds=_kinds(
        """dog animal, cow animal, rose flower, oak tree, hen bird, tractor machine, apple fruit,
        carrot vegetable"""
    ),
    acts=_verbs(
        """run ran run, swim swam swum, rest rested, shout shouted, dig dug, climb climbed,
        eat ate eaten, cry cried, fall fell fallen, ride rode ridden"""
    ),
    deeds=_verbs(
        """push pushed, chase chased, warn warned, feed fed, carry carried, teach taught,
        blame blamed, trust trusted"""
    ),
    handlings=_verbs(
        """wash washed, hide hid hidden, plant planted, burn burned, drop dropped, borrow borrowed,
        clean cleaned"""
    ),
    qualities=_words("green brown wet dry young tall round yellow"),
    places=_phrases("in the barn, by the river, in the field, at the mill, in the forest, on the hill"),
    times=_phrases("on Sunday, on Thursday, in spring, at dawn, last year, in the evening"),
    subjects=_words("meal soup inn room bread service coffee garden tractor wine"),
    praise=_words("tasty lovely fresh excellent pleasant fine delicious perfect superb nice"),
    blame=_words("bitter dirty nasty poor rotten useless unpleasant stale filthy dreadful"),
)
"""The world of the small tasks."""

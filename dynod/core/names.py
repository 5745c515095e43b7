"""Random app names: `adjective-noun-12345` from a drawn integer."""

from dynod.model.app import AppName

_ADJECTIVE_WORDS = """
agile amber ancient arctic autumn azure blooming bold brave bright brisk calm candid cedar clear clever coastal
copper cosmic crisp curious daring deep distant dry early eager evening fair fancy fast floral fluffy frosty gentle
glacial golden grand green hidden humble icy keen lively lunar mellow misty morning mossy nimble noble northern opal
pacific patient polar proud quiet radiant rapid rustic serene sharp silent silver snowy solar spring stark steady
still stormy summer sunny swift tidy twilight vast velvet violet vivid warm whispering wild winter young
"""
_NOUN_WORDS = """
badlands bastion basin bayou beach birch bluff brook canyon cape cave cliff cloud coast cove crag creek dawn delta
desert dune eyrie falls fern field fjord forest fortress garden glade gorge grove harbor haven headland hill inlet
island journey lagoon lake ledge lowlands marsh meadow mesa mist moor mountain oasis ocean orchard peak pine plains
plateau pond prairie rain reef ridge river savannah sea shelf shore sierra sky spire springs stream summit taiga
temple thicket tide tundra valley waters wave wildwood wind woods
"""
_ADJECTIVES, _NOUNS = _ADJECTIVE_WORDS.split(), _NOUN_WORDS.split()
_NUMBERS = 90_000  # 10000 to 99999
NAMES = _NUMBERS * len(_ADJECTIVES) * len(_NOUNS)  # numbers below this all give different names


def draw_name(number: int) -> AppName:
    """Turn any integer >= 0 into a name; equal numbers give equal names."""
    rest, digits = divmod(number, _NUMBERS)
    rest, adjective = divmod(rest, len(_ADJECTIVES))
    noun = rest % len(_NOUNS)
    return AppName(f"{_ADJECTIVES[adjective]}-{_NOUNS[noun]}-{10_000 + digits}")

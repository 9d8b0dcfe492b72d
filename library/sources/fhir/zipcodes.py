"""How postal codes are compared: codes of the US by their five digits, those of other countries whole."""

import re

_US = re.compile(r"([0-9]{5})(?:\s*[-\u2010-\u2015\u2212]\s*(?:[0-9]{4})?|\s*[0-9]{4})?")
"""A zip code, alone or with four more digits."""

_US_NAMES = frozenset(
    "".join(name.split())
    for name in {
        *("us", "usa", "840", "united states", "united states of america", "america"),
        *("estados unidos", "estados unidos de américa", "eeuu", "états-unis", "vereinigte staaten"),
        # Territories and associated states that the US Postal Service delivers to.
        *("as", "asm", "american samoa", "gu", "gum", "guam", "mp", "mnp", "northern mariana islands"),
        *("pr", "pri", "puerto rico", "vi", "vir", "us virgin islands", "um", "umi"),
        *("fm", "fsm", "micronesia", "mh", "mhl", "marshall islands", "pw", "plw", "palau"),
    }
)


def comparable(postal_code: str, country: str | None = None) -> str:
    """The form in which a postal code is compared and indexed.

    A code in the form of a US zip code counts as one if its country is not named. Blanks around a code do not count.

    Args:
        postal_code: the code as given.
        country: the country of its address as given: a code or a name.

    Returns:
        The five digits of a US code, else the whole code. Empty if the code is blank.
    """
    code = postal_code.strip()
    if country is not None and (name := _plain(country)) and name not in _US_NAMES:
        return code
    found = _US.fullmatch(code)
    return found[1] if found else code


def _plain(country: str) -> str:
    return "".join(country.replace(".", "").casefold().split())

"""Names of those who act: they stand in every line of the audit, and other services keep them."""

import unicodedata

from bookings_gateway.access.errors import StaffRefusal

_LONGEST = 200


def usable_name(name: str) -> str:
    """Return the name without blanks around it; raises :class:`StaffRefusal` for one that cannot be shown."""
    name = name.strip()
    if not 1 <= len(name) <= _LONGEST or any(unicodedata.category(each) in {"Cc", "Cs"} for each in name):
        raise StaffRefusal(f"A name has 1 to {_LONGEST} characters, and no control characters.")
    return name

"""Decides what the world may know of when somebody works: the days and times, by the clock of a zone with an IANA name.

It is the same under every policy. It refuses hours in a zone that is not known: they would be taken for UTC's.
"""

from shared.contracts.values import WorkingHours
from shared.work_week import working_hours
from shared.zones import iana_name


def public_hours(hours: WorkingHours | None) -> WorkingHours | None:
    """Return the hours with their zone by its IANA name, stretches sorted and joined; None where they are not known."""
    return None if hours is None else working_hours(iana_name(hours.time_zone) or "", hours.periods)

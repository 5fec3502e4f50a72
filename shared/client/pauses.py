"""Decides how long to wait before reaching for the other side again."""

FIRST, LONGEST = 0.25, 60.0  # seconds
MOST_ORDERED = 600.0  # seconds; nobody orders us away for longer


def pause(failures: int, *, chance: float, ordered: float = 0.0) -> float:
    """Return seconds to wait after so many failures in a row, no shorter than the other side ordered.

    `chance` in [0, 1) spreads clients that lost the same server: between half of the pause and all of it.
    """
    most = min(LONGEST, FIRST * 2.0 ** min(failures, 16))
    return max(most * (0.5 + chance / 2), min(ordered, MOST_ORDERED))

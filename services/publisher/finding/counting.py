"""Counts, for every start at once, in how many sets it is: whole numbers as the digits of binary counters.

The n-th digits of all counters are one number; the least significant comes first.
"""

from collections.abc import Iterable, Iterator, Sequence


def counted(sets: Iterable[int]) -> tuple[int, ...]:
    """Return the digits of every start's count."""
    digits: list[int] = []
    for each in sets:
        carry = each
        for place, digit in enumerate(digits):
            if not carry:
                break
            digits[place], carry = digit ^ carry, digit & carry
        if carry:
            digits.append(carry)
    return tuple(digits)


def at_least(digits: Sequence[int], number: int, *, among: int) -> int:
    """Return the starts of `among` that are in at least so many of the sets."""
    more, equal = 0, among
    for place in reversed(range(max(len(digits), number.bit_length()))):
        digit = digits[place] if place < len(digits) else 0
        if number >> place & 1:
            equal &= digit
        else:
            more |= equal & digit
            equal &= ~digit
    return more | equal


def by_count(digits: Sequence[int], *, among: int) -> Iterator[int]:
    """Yield the starts of `among` that are in the fewest sets, then those that are in the next fewest, and so on."""
    while among:
        fewest = among
        for digit in reversed(digits):
            fewest = fewest & ~digit or fewest
        yield fewest
        among &= ~fewest


def members(starts: int) -> Iterator[int]:
    """Yield the numbers of the starts in a set, the first one first."""
    while starts:
        lowest = starts & -starts
        yield lowest.bit_length() - 1
        starts ^= lowest

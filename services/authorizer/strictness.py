"""Pure: does a new policy forbid anything that the old one allowed? It never calls a change looser than it is.

What cannot be compared without the clock, a rolling window with a fixed one, counts as stricter.
"""

from shared.contracts.policy import Detail, Policy, Scope


def stricter(old: Policy, new: Policy) -> bool:
    """Say whether anything published under `old` might not be published so under `new`.

    A status shown as another word counts too: what was published means something else from then on. How often
    calendars are read does not.
    """
    return (
        _shows_less(old, new)
        or _words(old) != _words(new)
        or _narrower_scope(old.scope, new.scope)
        or _narrower_window(old, new)
    )


def changed(old: Policy, new: Policy) -> tuple[str, ...]:
    """Return the names of the fields that differ, sorted; never their values, which may be addresses."""
    return tuple(sorted(name for name in Policy.__struct_fields__ if getattr(old, name) != getattr(new, name)))


def _shows_less(old: Policy, new: Policy) -> bool:
    details = old.detail is Detail.DETAILS and new.detail is not Detail.DETAILS
    return details or (old.conferencing and not new.conferencing) or (old.show_free and not new.show_free)


def _words(policy: Policy) -> tuple[str, ...]:
    return (policy.tentative, policy.oof, policy.elsewhere)


def _narrower_scope(old: Scope, new: Scope) -> bool:
    """Say whether anybody may be out who was in: groups narrow, `include` widens them, `exclude` wins over both."""
    if (old.rooms and not new.rooms) or set(new.exclude) - set(old.exclude):
        return True
    if not new.groups:  # everybody is in
        return False
    lost_groups = not old.groups or bool(set(old.groups) - set(new.groups))
    return lost_groups or bool(set(old.include) - set(new.include))


def _narrower_window(old: Policy, new: Policy) -> bool:
    if old.window is not None and new.window is not None:
        return new.window.start > old.window.start or new.window.end < old.window.end
    if old.window is not None or new.window is not None:
        return True
    return new.days_back < old.days_back or new.days_ahead < old.days_ahead

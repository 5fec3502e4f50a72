"""What an admin is told of a mailbox that is not read, or waits, for each reason: a title, and what to do about it."""

from collections.abc import Mapping
from typing import Final

from services.authorizer import exchange_sentences, sentences

_SOON: Final = "Nothing is to be done: it is tried again by itself."
_LASTING: Final = "It is tried again by itself. If it lasts for hours, tell the operator of this deployment."
_SCOPE: Final = "Change it on the Settings tab, under “Whose calendars are read”."
_PROXY: Final = f"{_SOON} If it lasts, a proxy between this deployment and the server changes its answers."
_CONNECTION: Final = (
    "This concerns the whole organisation: the connection is verified by itself within a minute, and the Status tab"
    " says what to do."
)

_BY_POLICY: Final = {
    "excluded_by_list": ("Excluded by your list", f"The address is on the list of excluded mailboxes. {_SCOPE}"),
    "outside_scope_groups": (
        "Outside the chosen groups",
        f"Only members of the groups you chose are read, and this mailbox is not one. {_SCOPE}",
    ),
    "rooms_excluded": ("Rooms are left out", f"Rooms and equipment are not read under the present settings. {_SCOPE}"),
    "not_enumerated": (
        "Not found yet",
        "A group names this mailbox, and the search of the directory has not come to it yet. Nothing is to be done.",
    ),
    "erased": ("Erased", "All that was held of this mailbox was deleted on request, and it is never read again."),
}
_DIRECTORY: Final = {
    "no_address": (
        "No mail address",
        "The directory has no usable address for this object. Give it a primary mail address if it should be read.",
    ),
    "guest": ("Guest account", "Guests have their mailbox in another organisation. Nothing is to be done."),
    "no_mailbox": (
        "No mailbox",
        (
            "There is no mailbox behind this account: it has no licence with Exchange, or its mailbox was deleted."
            " Assign a licence or enable the mailbox if it should be read; the next search finds it."
        ),
    ),
    "hosted_on_premises": (
        "On a server of your own",
        (
            "The mailbox is on an Exchange server of your own, which Microsoft 365 cannot read. Connect that server as"
            " an organisation of its own, or move the mailbox to Exchange Online."
        ),
    ),
    "hosted_elsewhere": (
        "In Exchange Online",
        (
            "The mailbox is in Exchange Online, which this server cannot read. Connect Microsoft 365 as an organisation"
            " of its own."
        ),
    ),
    "left_directory": ("Left the directory", "The account is no longer in the directory. Nothing is to be done."),
    "not_the_primary_address": (
        "Not the primary address",
        (
            "The address is an alias. List the mailbox by its primary address: `Get-Mailbox ADDRESS | fl"
            " PrimarySmtpAddress`."
        ),
    ),
    "no_calendar": (
        "No calendar",
        (
            "The mailbox has no calendar that can be read. Open it once in Outlook, or look at"
            " `Get-MailboxFolderStatistics ADDRESS -FolderScope Calendar`."
        ),
    ),
}
_DENIED: Final = {
    "access_denied": (
        "Access denied",
        (
            "The server refuses this one mailbox: an application access policy, a role's scope or the mailbox's own"
            " rights leave it out. Add it to the scope if it should be read; changes take up to two hours."
        ),
    ),
    "impersonation_denied": (
        "Impersonation denied",
        (
            "The service account may not impersonate this mailbox: it is outside the scope of the role"
            " ApplicationImpersonation. Add it to the group that the scope names if it should be read."
        ),
    ),
    "no_free_busy_access": (
        "Free/busy not shared",
        (
            "The service account may not see when this mailbox is busy. Give it at least AvailabilityOnly:"
            " `Get-MailboxFolderPermission ADDRESS:\\Calendar`."
        ),
    ),
    "ews_forbidden": (
        "EWS is switched off",
        (
            "Exchange Web Services are switched off for this mailbox. Switch them on:"
            " `Set-CASMailbox ADDRESS -EwsEnabled $true`."
        ),
    ),
}
_BUSY: Final = {
    "throttled": ("Microsoft asks to wait", _SOON),
    "directory_throttled": ("Microsoft asks to wait", _SOON),
    "tenant_paused": ("Waits with the organisation", f"Microsoft ordered a pause for all mailboxes. {_SOON}"),
    "server_busy": ("The server is busy", _SOON),
    "server_shared": ("Waits for its turn", f"All that may be asked of the server at once is being asked. {_SOON}"),
    "server_error": ("The server is disturbed", _LASTING),
    "timeout": ("No answer in time", _LASTING),
    "network": ("The connection broke", _LASTING),
    "unreachable": ("Nothing answers", f"Nothing answers at the server's address. {_LASTING}"),
    "changed_meanwhile": ("Changed while it was read", _SOON),
}
_ODD: Final = {
    "calendar_too_large": (
        "Too many entries",
        (
            "The calendar holds more entries in the window than can be carried. Choose a shorter window on the Settings"
            " tab, or have old recurring meetings removed."
        ),
    ),
    "request_refused": ("Request refused", f"The server refused a request it should understand. {_LASTING}"),
    "truncated": ("Answer cut off", _PROXY),
    "too_large": ("Answer too large", _PROXY),
    "not_json": ("Not the server's answer", _PROXY),
    "not_xml": ("Not the server's answer", _PROXY),
    "malformed": ("Answer not understood", _PROXY),
    "unexpected_shape": ("Answer not understood", _PROXY),
    "foreign_link": ("Led elsewhere", _PROXY),
    "redirected": ("Led elsewhere", _PROXY),
    "link_loop": ("Answer without an end", _LASTING),
    "link_too_long": ("Answer not understood", _LASTING),
    "link_expired": ("The search began anew", _SOON),
    "unexpected_time": (
        "An entry without a time",
        (
            "An entry's time cannot be understood, and nothing is guessed: unknown is never shown as free. Have the"
            " owner look for a damaged entry; the rest is tried again by itself."
        ),
    ),
    "http_error": ("HTTP error", _LASTING),
    "fault": ("The server failed", _LASTING),
    "unknown": ("Reason not known", _LASTING),
}
_WHOLE: Final = {
    "token_rejected": ("Sign-in rejected", _CONNECTION),
    "permission_missing": ("Permission missing", _CONNECTION),
    "sign_in_refused": ("Sign-in refused", _CONNECTION),
    "no_scheme": ("No way to sign in", _CONNECTION),
    "not_trusted": ("Certificate not trusted", _CONNECTION),
    "not_tls": ("No TLS", _CONNECTION),
    "address_refused": ("Address not allowed", _CONNECTION),
    "name_unknown": ("Name not found", _LASTING),
    "not_found": ("No EWS there", _CONNECTION),
    "forbidden": ("EWS is switched off", _CONNECTION),
    "not_graph": ("The connection was changed", _SOON),
    "not_exchange": ("The connection was changed", _SOON),
}
_SEARCH: Final = {
    "scope_group_missing": (
        "A group is missing",
        f"A group that limits what is read no longer exists in the directory; nobody is read by it. {_SCOPE}",
    ),
    "rooms_forbidden": (
        "Rooms cannot be listed",
        "The app may not list rooms, so they count as people. Grant it Place.Read.All with admin consent, or leave it.",
    ),
    "directory_empty": (
        "Nobody was found",
        (
            "The search found no mailbox at all, which is taken for a mistake: nothing was removed. See whether the"
            " groups and lists on the Settings tab still name anybody."
        ),
    ),
    "removal_held": (
        "A removal is held back",
        (
            "So many mailboxes would be removed at once that it may be a mistake; nothing was removed. Ask the operator"
            " of this deployment to look and to allow it."
        ),
    ),
    "group_unknown": (
        "The group is missing",
        (
            "Exchange knows no distribution group of the address that lists the mailboxes, or several. Correct it on"
            " the Connection tab."
        ),
    ),
}
OWN: Final[Mapping[str, tuple[str, str]]] = {
    **_BY_POLICY, **_DIRECTORY, **_DENIED, **_BUSY, **_ODD, **_WHOLE, **_SEARCH,
}  # fmt: skip
_BUCKETS: Final = {
    "active": ("Read", "The mailbox is read."),
    "excluded": ("Excluded", f"The settings leave this mailbox out. {_SCOPE}"),
    "guest": ("Guest", "Guests have their mailbox in another organisation. Nothing is to be done."),
    "no_mailbox": ("No mailbox", "There is no mailbox behind this account."),
    "on_premises": ("On premises", "The mailbox is on a server of your own."),
    "on_another_connection": ("Elsewhere", "The mailbox is read through another connection."),
    "denied": ("Denied", "The server refuses this mailbox; see to its rights if it should be read."),
    "failing": ("Failing", f"The mailbox could not be read. {_LASTING}"),
    "removed": ("Removed", "The mailbox is no longer read. Nothing is to be done."),
}
# What a whole organisation is refused for has its sentence already; a mailbox may wait for the same reason.
_TOLD: Final[Mapping[str, str]] = {
    **exchange_sentences.DELAYS, **exchange_sentences.REFUSALS, **sentences.DELAYS, **sentences.REFUSALS,
}  # fmt: skip
_TRIED: Final = {
    "no_readable_mailbox": "There is no mailbox behind this account in Exchange Online: it has no licence, or its"
    " mailbox was deleted or is on a server of your own.",
    "calendar_permission_missing": "The calendar may not be read: the app's scope in Exchange Online, or an application"
    " access policy, leaves this mailbox out, or the permission Calendars.Read is missing. Changes there take up to two"
    " hours.",
    "mailbox_unknown": "The address has no mailbox on this server: it was renamed or moved, or deleted.",
    "calendar_missing": _DIRECTORY["no_calendar"][1],
    "verification_timeout": "There was no answer in time. Try again in a minute.",
    "cloud_unknown": _CONNECTION,
    "unknown": f"The mailbox could not be read, for a reason not known here. {_LASTING}",
}


def _pairs(prefix: str, told: Mapping[str, str]) -> dict[str, str]:
    return {f"{prefix}.{word}": sentence for word, sentence in told.items()}


TEXTS: Final[Mapping[str, str]] = {
    **_pairs("advice", _TOLD),
    **_pairs("advice", {word: advice for word, (_, advice) in OWN.items()}),
    **_pairs("reason", {word: title for word, (title, _) in OWN.items()}),
    **_pairs("bucket", {word: title for word, (title, _) in _BUCKETS.items()}),
    **_pairs("advice.bucket", {word: advice for word, (_, advice) in _BUCKETS.items()}),
    **_pairs("tried", {**_TOLD, **_TRIED}),
    "advice.ldap": "The directory that lists the mailboxes could not be read. The Status tab says what to do.",
    "advice.exchange": f"Exchange answered with an error code. {_LASTING}",
    "reason.exchange": "Exchange error",
}

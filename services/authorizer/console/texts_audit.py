"""The texts of what stands in the audit log: each act in words, and what is told of it."""

from collections.abc import Mapping
from typing import Final

_ACTS: Final = {
    "connection.tested": "A connection was tested",
    "credential.stored": "A credential was stored",
    "mailbox.erased": "A mailbox was erased",
    "mailbox.tested": "A mailbox was tested",
    "microsoft.consent_refused": "Microsoft's consent was not accepted",
    "microsoft.sign_in_refused": "A sign-in at Microsoft was not accepted",
    "microsoft.signed_in": "Signed in at Microsoft",
    "org.attention": "The connection needs attention",
    "org.connected": "The connection was found good",
    "org.disconnected": "Disconnecting was asked for",
    "org.purged": "Everything was deleted",
    "org.refused": "The connection was refused",
    "org.requested": "A connection was asked for",
    "org.restored": "The connection works again",
    "org.resynced": "Reading again was asked for",
    "policy.changed": "The settings were changed",
    "terms.accepted": "The terms were accepted",
}
_TOLD: Final = {
    "cloud": "Cloud",
    "code": "Code",
    "fields": "Settings",
    "form": "Form",
    "generation": "Version",
    "kind": "Connection",
    "mailboxes": "Mailboxes",
    "outcome": "Outcome",
    "passed": "Passed",
    "reason": "Reason",
    "role": "Role",
    "sha256": "SHA-256",
    "stricter": "Shows less",
    "version": "Version",
}
TEXTS: Final[Mapping[str, str]] = {
    **{f"audit.act.{word}": said for word, said in _ACTS.items()},
    **{f"audit.told.{name}": said for name, said in _TOLD.items()},
    "audit.yes": "yes",
    "audit.no": "no",
}

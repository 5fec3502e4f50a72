"""The texts of disconnecting."""

from collections.abc import Mapping
from typing import Final

TEXTS: Final[Mapping[str, str]] = {
    "leaving.title": "Disconnect",
    "leaving.lead": "Everything that {product} holds of your organisation is deleted, at once and for good. You get a"
    " receipt that says what went.",
    "leaving.goes.title": "What will be deleted",
    "leaving.goes.more": "Also deleted: the connection and its own credential, every version of the settings, whatever"
    " still waits to be read, and messages that were set aside.",
    "leaving.stays.title": "What stays",
    "leaving.stays.text": "The receipt, and the audit log: who did what and when, in fixed words and numbers. It holds"
    " no address and nothing of any calendar.",
    "leaving.stays.elsewhere": "Backups of the database, for as long as they are kept, and what other software"
    " received: it is told to drop it.",
    "leaving.revoke.title": "What only you can take back",
    "leaving.revoke.graph": "The consent that was given to the app in Microsoft 365. {product} asks for nothing any"
    " more, but only an administrator there can take the consent itself back: Entra admin center > Enterprise"
    " applications > the app > Properties > Delete.",
    "leaving.revoke.graph.link": "Open the app in Microsoft's portal",
    "leaving.revoke.graph.app": "Its application id",
    "leaving.revoke.ews": "The service account's right to impersonate. {product} forgets the password, but only an"
    " administrator of Exchange can take the right away and disable the account.",
    "leaving.revoke.ews.label": "In the Exchange Management Shell",
    "leaving.sure.title": "Disconnect {org}",
    "leaving.name": "Type the name of the organisation to confirm: {org}",
    "leaving.name.hint": "This cannot be undone.",
    "leaving.name.missing": "Type the name of the organisation.",
    "leaving.name.wrong": "This is not the name of the organisation; capital letters matter.",
    "leaving.button": "Disconnect and delete everything",
    "leaving.stale.title": "Come again by a fresh link",
    "leaving.stale.text": "You have been signed in for more than {minutes} minutes. Because this cannot be undone, go"
    " back to your platform and open this page from there once more.",
    "leaving.stale.back": "Back to the platform",
    "leaving.now.title": "Disconnecting",
    "leaving.now.text": "Nothing of your organisation is shown to anybody any more. What is held is being deleted. You"
    " may close this page: it goes on by itself.",
    "leaving.now.steps": "Steps of the deletion",
    "leaving.now.since": "Since {at}",
    "leaving.now.left": "Rows still held",
    "leaving.step.fetcher": "Notifications at Microsoft, mailboxes, and what waits to be read",
    "leaving.step.normalizer": "Calendars on their way",
    "leaving.step.publisher": "Availability, and the log of its changes",
    "leaving.step.authorizer": "Credential, settings and connection; then the receipt",
    "leaving.left.title": "Disconnected",
    "leaving.left.text": "Nothing of your organisation is held any more. This is the receipt.",
    "leaving.receipt.deleted": "What was deleted",
    "leaving.receipt.org": "Organisation",
    "leaving.receipt.actor": "Disconnected by",
    "leaving.receipt.started": "Asked for",
    "leaving.receipt.ended": "Ended",
    "leaving.receipt.took": "Took",
    "leaving.receipt.seconds": "{count} seconds",
    "leaving.receipt.seconds.one": "1 second",
    "leaving.receipt.id": "Receipt number",
    "leaving.receipt.hash": "Seal of the audit entry that closes it",
    "leaving.receipt.hash.text": "Keep it: as long as the audit log holds an entry with this seal, its end was not cut"
    " off.",
    "leaving.receipt.download": "Download the receipt (JSON)",
    "leaving.receipt.compacted": "The space of what was deleted was given back, so that no file of the database holds"
    " it any more.",
    "leaving.receipt.not_compacted": "Deleted rows may still lie in the database's files until its next clean-up; the"
    " operator of this deployment can bring that about.",
    "leaving.receipt.subscriptions_left": "{count} notifications could not be cancelled at Microsoft; they end by"
    " themselves within a week, and lead to nobody.",
    "leaving.receipt.again": "To connect again, come back from your platform by a fresh link.",
    "leaving.kind.mailboxes": "Mailboxes: their addresses and how they were read",
    "leaving.kind.subscriptions": "Requests to be told of changes",
    "leaving.kind.timelines": "Calendars as they were shown",
    "leaving.kind.updates": "Entries in the log of changes",
    "leaving.kind.subscriptions_deleted": "Notifications cancelled at Microsoft",
    "leaving.kind.messages": "Messages that waited or were set aside",
    "leaving.kind.enumerations": "Searches of the directory",
    "leaving.kind.streams": "Connections that listened for changes",
    "leaving.kind.credentials": "Credentials",
    "leaving.kind.policies": "Versions of the settings",
    "notice.warn.not_fresh": "Nothing was deleted: come again by a fresh link from your platform.",
}
KINDS: Final = tuple(key.removeprefix("leaving.kind.") for key in TEXTS if key.startswith("leaving.kind."))

"""The texts of connecting Microsoft 365."""

from collections.abc import Mapping
from typing import Final

from services.authorizer.console.texts_microsoft_refusals import REFUSALS

_PAGE: Final[Mapping[str, str]] = {
    "microsoft.title": "Connect Microsoft 365",
    "microsoft.lead": "You sign in at Microsoft, and Microsoft asks you to grant the permissions below. {product} then"
    " reads the calendars with its own key, never with your account.",
    "microsoft.replaces": "This organisation is connected already. What is in force stays until the new connection is"
    " verified, and if it is refused.",
    "microsoft.no_app.title": "This deployment cannot connect Microsoft 365 yet",
    "microsoft.no_app.text": "Whoever runs {product} has not stored the app that signs in at Microsoft. Ask them to do"
    " so; nothing is missing on your side.",
    "microsoft.no_app.command": "For whoever runs {product}",
    "microsoft.no_app.redirects": "Addresses to register for the app (platform: Web)",
    "microsoft.steps.title": "What will happen",
    "microsoft.steps.sign_in": "You sign in at Microsoft, which tells {product} who you are and which organisation is"
    " yours.",
    "microsoft.steps.consent": "Microsoft shows the permissions and asks you to accept them for your organisation.",
    "microsoft.steps.verify": "{product} lists one user, reads one calendar, and tells you whether it works.",
    "microsoft.role": "You need the role Global Administrator or Privileged Role Administrator. An Application"
    " Administrator cannot grant these permissions.",
    "microsoft.asked.title": "What Microsoft will ask you to grant",
    "microsoft.asked.text": "These are application permissions of Microsoft Graph. {product} only reads: none of them"
    " lets it change anything.",
    "microsoft.asked.more": "Microsoft's page lists what the app's registration asks for. GroupMember.Read.All may"
    " stand there too: it is used only once you limit by groups what is read. If it asks for more than that, cancel"
    " there and ask whoever runs {product} why.",
    "microsoft.why.users": "To find the mailboxes of your organisation.",
    "microsoft.why.calendars_times": "To read when people are busy. Under your settings {product} asks for times and"
    " status alone: never for a subject, a place or a text.",
    "microsoft.why.calendars_details": "To read events. Your settings show details: subjects, organisers, places.",
    "microsoft.why.settings": "To know a mailbox's time zone, and whether it is a person, a room or a shared mailbox.",
    "microsoft.why.rooms": "To recognise meeting rooms.",
    "microsoft.why.groups": "To read the members of the groups that limit which calendars are read.",
    "microsoft.basic": "Calendars.ReadBasic.All should be enough for times and status: Microsoft describes it as"
    " leaving out body, attachments and extensions. If the app's registration lists it instead of Calendars.Read, go"
    " on; the verification says whether it is enough.",
    "microsoft.narrow.title": "To allow some mailboxes only",
    "microsoft.narrow.text": "An Exchange Online administrator can give the app the roles Application Calendars.Read"
    " and Application MailboxSettings.Read for a scope of mailboxes instead. Leave Calendars.Read and"
    " MailboxSettings.Read out of the app's registration then, for the two add up. Such a connection is recognised by"
    " what can really be read.",
    "microsoft.policy.title": "What will be shown of a calendar",
    "microsoft.policy.times": "Free/busy only: when somebody is busy, and how. No subject, no place, no attendee.",
    "microsoft.policy.details": "Details: subject, organiser, attendees, place, and a preview of the text of events"
    " that are not private.",
    "microsoft.policy.change": "You can change this under Settings once you are connected.",
    "microsoft.cloud": "Where does your organisation's Microsoft 365 live?",
    "microsoft.cloud.hint": "Most organisations use the worldwide cloud. A national cloud has its own sign-in.",
    "microsoft.cloud.global": "Worldwide (and US GCC)",
    "microsoft.cloud.us_government": "US Government (GCC High)",
    "microsoft.cloud.us_dod": "US Department of Defense",
    "microsoft.cloud.china": "China (21Vianet)",
    "microsoft.cloud.france": "France (sovereign)",
    "microsoft.cloud.germany": "Germany (sovereign)",
    "microsoft.cloud.singapore": "Singapore (sovereign)",
    "microsoft.cloud.sandbox": "Sandbox (a stand-in for Microsoft, with made-up people)",
    "microsoft.terms.title": "Terms",
    "microsoft.terms.version": "Version {version}",
    "microsoft.terms.accept": "I accept these terms for my organisation",
    "microsoft.terms.recorded": "That you accepted, when, and which version is written into the audit log.",
    "microsoft.missing.terms": "Accept the terms to go on",
    "microsoft.missing.cloud": "Choose where your organisation lives",
    "microsoft.authorize": "Authorize calendar access",
    "microsoft.leaves": "This leads to Microsoft's sign-in, and back here.",
    "microsoft.waiting.title": "Checking the connection",
    "microsoft.waiting.text": "{product} asks Microsoft for a key, lists one user and reads one calendar. This takes a"
    " few seconds; the page looks again by itself.",
    "microsoft.waiting.reload": "Look now",
    "microsoft.waiting.so_far": "What it waits for",
    "microsoft.verdict.title": "The connection does not work yet",
    "microsoft.verdict.kept": "The connection in force stays as it was.",
    "microsoft.verdict.slow": "After a consent Microsoft sometimes needs a few minutes until it counts everywhere. If"
    " you have just granted it, wait a little and check again.",
    "microsoft.verdict.again": "Check again",
    "microsoft.verdict.anew": "Begin anew",
    "microsoft.refused.next": "What to do",
    "microsoft.refused.code": "Microsoft's code is AADSTS{code}.",
    "microsoft.refused.unchanged": "Nothing was changed.",
}

TEXTS: Final[Mapping[str, str]] = {**_PAGE, **REFUSALS}

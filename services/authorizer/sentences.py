"""What an IT admin is told for each reason: what happened, what to do, and where in the Entra admin center."""

from typing import Final

from services.authorizer import exchange_sentences

_CONSENT: Final = "Entra admin center > Identity > Applications > Enterprise applications > the app > Permissions"
_SECRETS: Final = "Entra admin center > Identity > Applications > App registrations > the app > Certificates & secrets"
_POLICIES: Final = "Entra admin center > Protection > Conditional Access > Policies"
_OVERVIEW: Final = "Entra admin center > Identity > Overview"
_SIGN_INS: Final = "Entra admin center > Identity > Monitoring & health > Sign-in logs > Service principal sign-ins"
_SOON: Final = "Nothing is to be done: it is tried again by itself."

REFUSALS: Final = {
    # the tenant and the app
    "app_not_in_tenant": "The app is not installed in this tenant, or its consent was removed. A Global Administrator"
    f" or Privileged Role Administrator must grant admin consent again: {_CONSENT}.",
    "app_disabled": "The app is disabled in this tenant. Set `Enabled for users to sign-in` to Yes:"
    " Entra admin center > Identity > Applications > Enterprise applications > the app > Properties.",
    "tenant_unknown": "Microsoft knows no such tenant in this cloud. Compare the tenant id with the one shown under"
    f" {_OVERVIEW}, and the cloud with where the tenant lives (national clouds have their own sign-in).",
    "tenant_malformed": "The tenant is neither a GUID nor a domain name. Copy the tenant id from"
    f" {_OVERVIEW} and connect again.",
    "tenant_taken": "This tenant is already connected under another organisation; it belongs to one only. Compare"
    f" the tenant id with the one shown under {_OVERVIEW}.",
    "cloud_unknown": "No cloud bears this name. Connect again with global, us_government, us_dod, china, france,"
    f" germany or singapore; the tenant's own is shown under {_OVERVIEW}.",
    # the app's credential
    "secret_wrong": "Microsoft does not accept the client secret. Make sure it is the secret's Value, not its Secret"
    f" ID, or create a new one, and connect again with it: {_SECRETS}.",
    "secret_expired": f"The client secret has expired. Create a new one and connect again with it: {_SECRETS}.",
    "certificate_refused": "Microsoft does not accept the certificate: it is not uploaded for this app, or has expired."
    f" Upload its public part: {_SECRETS} > Certificates.",
    "certificate_malformed": "The certificate file cannot be used: it must hold one private key and its certificate,"
    f" both as PEM and without a passphrase. Connect again with such a file and compare it with {_SECRETS}.",
    "credential_missing": "No credential is stored under the name that the connection gives. Store one by connecting"
    f" again with the app's secret or certificate: {_SECRETS}.",
    "credential_unreadable": "The stored credential cannot be opened with the keys at hand. Restore the key file that"
    f" sealed it, or connect again with the app's secret or certificate: {_SECRETS}.",
    "clock_wrong": "Microsoft refused the sign-in because this server's clock is wrong. Synchronise it (NTP), then"
    f" connect again; the attempts are listed under {_SIGN_INS}.",
    # consent and policies
    "consent_missing": "The permissions the app asks for were not consented to. A Global Administrator or Privileged"
    f" Role Administrator must grant admin consent: {_CONSENT}.",
    "consent_declined": "Consent was declined. A Global Administrator or Privileged Role Administrator must grant admin"
    f" consent: {_CONSENT}.",
    "conditional_access": "A Conditional Access policy for workload identities blocks the app. Exclude the app, or"
    f" allow the address this server calls from: {_POLICIES}.",
    "identity_refused": "Microsoft refused the sign-in for a reason not known here. The attempt and its explanation are"
    f" listed under {_SIGN_INS}.",
    "request_refused": "Microsoft refused the way the token was asked for, which is a defect of this software. Report"
    f" the code to its operator; the attempt is listed under {_SIGN_INS}.",
    "token_rejected": "Microsoft Graph did not accept the token that was just issued. Make sure the cloud is the"
    f" tenant's own; the app's permissions are listed under {_CONSENT}.",
    # the directory
    "directory_permission_missing": "The app may not list the tenant's users. Grant it the application permission"
    f" User.Read.All of Microsoft Graph, with admin consent: {_CONSENT}.",
    "directory_empty": "The tenant has no members to read. Make sure it is the right one:"
    " Entra admin center > Identity > Users > All users.",
    "group_permission_missing": "The app may not read the members of the groups that limit what is read. Grant it the"
    f" application permission GroupMember.Read.All of Microsoft Graph, with admin consent: {_CONSENT}.",
    "group_unknown": "None of the groups that limit what is read exists. Copy the object id from"
    " Entra admin center > Identity > Groups > All groups and connect again.",
    "group_empty": "The groups that limit what is read have no members. Add members, or connect again with other"
    " groups: Entra admin center > Identity > Groups > All groups.",
    # the mailboxes
    "calendar_permission_missing": "The app may not read calendars. Grant it the application permission Calendars.Read"
    f" of Microsoft Graph, with admin consent: {_CONSENT}; or, to allow some mailboxes only, the role"
    " `Application Calendars.Read` in Exchange Online.",
    "calendars_out_of_scope": "The app may read calendars, but none of the mailboxes tried: an Exchange Online scope or"
    " access policy leaves them out. Add them to it, or connect again naming a group or an address inside it; what the"
    f" app was granted is listed under {_CONSENT}. Changes there take up to two hours.",
    "settings_permission_missing": "The app may not read mailbox settings, which hold the time zone. Grant it the"
    f" application permission MailboxSettings.Read of Microsoft Graph, with admin consent: {_CONSENT}.",
    "no_readable_mailbox": "None of the users tried has a mailbox in Exchange Online. Assign a licence with Exchange"
    " Online (Entra admin center > Identity > Users > All users > a user > Licenses), or connect again naming an"
    " address that has one; mailboxes on a server of your own are connected by --ews.",
    "graph_refused": "Microsoft Graph refused a request it should understand, which points to a proxy on the way or a"
    f" defect of this software. Report the reason to its operator; the app's permissions are listed under {_CONSENT}.",
}

DELAYS: Final = {
    "identity_throttled": f"Microsoft's sign-in is busy. {_SOON}",
    "identity_unavailable": f"Microsoft's sign-in is disturbed. {_SOON}",
    "identity_timeout": f"Microsoft's sign-in did not answer in time. {_SOON}",
    "identity_unreachable": "Microsoft's sign-in cannot be reached from this server. It is tried again by itself; if it"
    " lasts, its operator must allow https to Microsoft's sign-in addresses.",
    "identity_not_trusted": "The certificate of what answers as Microsoft's sign-in is not trusted here. It is tried"
    " again by itself; if it lasts, its operator must name the certificate authority of the proxy on the way.",
    "identity_unexpected": "What answers as Microsoft's sign-in is not Microsoft. It is tried again by itself; if it"
    " lasts, a proxy on the way must let it pass.",
    "graph_throttled": f"Microsoft Graph asks to wait. {_SOON}",
    "graph_unavailable": f"Microsoft Graph is disturbed. {_SOON}",
    "graph_unreachable": "Microsoft Graph cannot be reached from this server. It is tried again by itself; if it lasts,"
    " its operator must allow https to Microsoft Graph.",
    "graph_unexpected": "What answers as Microsoft Graph gave something else. It is tried again by itself; if it lasts,"
    " a proxy on the way must let Microsoft Graph pass.",
    "purge_under_way": "What was held of this organisation is still being deleted. A request of the platform is tried"
    " again by itself; at the command line, connect again once there is a receipt.",
    "verification_timeout": f"Verification took too long. {_SOON}",
    "bug": "Verification failed by a defect of this software, which its log names. It is tried again by itself.",
}


# never tried again by itself: each try may lock the account
FINAL: Final = frozenset({"sign_in_refused", "ldap_bind_refused"})
JUDGED: Final = frozenset(REFUSALS) | frozenset(exchange_sentences.REFUSALS)  # verdicts, and no pauses
_TOLD: Final = {**exchange_sentences.WARNINGS, **exchange_sentences.DELAYS, **exchange_sentences.REFUSALS, **DELAYS}


def sentence(reason: str, *, code: int = 0) -> str:
    """Return the sentence for a reason, with Microsoft's own code where one was given. Raises KeyError."""
    told = REFUSALS.get(reason) or _TOLD[reason]
    return f"{told} Microsoft's code is AADSTS{code}." if code else told

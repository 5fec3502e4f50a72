"""What an admin is told where the way to Microsoft and back ends: what happened, what it means, what to do."""

from collections.abc import Mapping
from typing import Final

_ANEW: Final = "Begin anew on the page before."
_OPERATOR: Final = "Tell whoever runs your platform; nothing is missing on your side."
_REPORT: Final = "Begin anew. If it happens again, tell whoever runs your platform, and name the word below."
_FORGED: Final = "It does not prove who signed in."

REFUSALS: Final[Mapping[str, str]] = {
    "microsoft.refused.declined.title": "The permissions were not granted",
    "microsoft.refused.declined.text": "You, or somebody at Microsoft's page, chose to cancel. Without these"
    " permissions no calendar can be read.",
    "microsoft.refused.declined.next": "If that was not meant, begin anew and accept. If you wonder what a permission"
    " is for, the page before says.",
    "microsoft.refused.consent_needed.title": "An administrator has to grant the permissions",
    "microsoft.refused.consent_needed.text": "Microsoft says that the permissions are not granted, or that the account"
    " may not grant them.",
    "microsoft.refused.consent_needed.next": "Begin anew with an account that is Global Administrator or Privileged"
    " Role Administrator.",
    "microsoft.refused.consent_incomplete.title": "Microsoft did not say that you consented",
    "microsoft.refused.consent_incomplete.text": "You came back from Microsoft without a yes and without an error.",
    "microsoft.refused.consent_incomplete.next": _ANEW,
    "microsoft.refused.registration_wrong.title": "The app's registration does not fit",
    "microsoft.refused.registration_wrong.text": "Microsoft cannot grant what the app's registration asks for: a"
    " service is missing in your organisation, or the registration names a permission that does not exist.",
    "microsoft.refused.registration_wrong.next": "Make sure that your organisation has Exchange Online. If it has,"
    " tell whoever runs your platform.",
    "microsoft.refused.foreign_account.title": "This account belongs to another organisation",
    "microsoft.refused.foreign_account.text": "Microsoft signs this account in elsewhere: it is a guest's, or of"
    " another organisation.",
    "microsoft.refused.foreign_account.next": "Begin anew with an administrator's account of the organisation whose"
    " calendars are to be connected.",
    "microsoft.refused.not_assigned.title": "The app is kept to assigned users",
    "microsoft.refused.not_assigned.text": "In your organisation the app may be used by assigned users only, and this"
    " account is none of them.",
    "microsoft.refused.not_assigned.next": "Assign the account, or set `Assignment required?` to No: Entra admin"
    " center > Identity > Applications > Enterprise applications > the app > Properties.",
    "microsoft.refused.sign_in_again.title": "Microsoft wants you to sign in again",
    "microsoft.refused.sign_in_again.text": "Microsoft's page could not go on without asking you something, or your"
    " sign-in there has ended.",
    "microsoft.refused.sign_in_again.next": _ANEW,
    "microsoft.refused.proof_wanted.title": "Microsoft asks for a further proof",
    "microsoft.refused.proof_wanted.text": "The account needs multi-factor authentication, and it was not finished.",
    "microsoft.refused.proof_wanted.next": "Begin anew and finish it; if you have not set it up yet, Microsoft's page"
    " leads you there.",
    "microsoft.refused.sign_in_blocked.title": "A policy of your organisation blocks the sign-in",
    "microsoft.refused.sign_in_blocked.text": "A Conditional Access policy does not let this account sign in to the"
    " app from here or from this device.",
    "microsoft.refused.sign_in_blocked.next": "Sign in from a device and place that it allows, or look at the policy:"
    " Entra admin center > Protection > Conditional Access > Policies.",
    "microsoft.refused.account_blocked.title": "The account cannot sign in",
    "microsoft.refused.account_blocked.text": "Microsoft says that the account is locked or disabled, or that its"
    " password has expired.",
    "microsoft.refused.account_blocked.next": "Repair the account, or begin anew with another administrator's.",
    "microsoft.refused.app_unknown.title": "Microsoft does not know the app there",
    "microsoft.refused.app_unknown.text": "The app is not registered in this cloud, or not open to other"
    " organisations.",
    "microsoft.refused.app_unknown.next": "Make sure that you chose the cloud your organisation lives in. If you did,"
    " tell whoever runs your platform: the app has to be a multi-tenant one of that cloud.",
    "microsoft.refused.app_disabled.title": "The app is disabled in your organisation",
    "microsoft.refused.app_disabled.text": "An administrator switched the app off.",
    "microsoft.refused.app_disabled.next": "Set `Enabled for users to sign-in` to Yes: Entra admin center > Identity >"
    " Applications > Enterprise applications > the app > Properties.",
    "microsoft.refused.code_refused.title": "The sign-in could not be finished",
    "microsoft.refused.code_refused.text": "Microsoft does not accept the code that you came back with: it was used"
    " already, took too long, or was not made for this sign-in.",
    "microsoft.refused.code_refused.next": _ANEW,
    "microsoft.refused.app_credential.title": "The app's key is not accepted",
    "microsoft.refused.app_credential.text": "Microsoft does not accept the secret or certificate that this deployment"
    " signs in with.",
    "microsoft.refused.app_credential.next": _OPERATOR,
    "microsoft.refused.app_missing.title": "No app is stored, or it was replaced meanwhile",
    "microsoft.refused.app_missing.text": "This deployment has no app that signs in at Microsoft, or another one than"
    " when you began.",
    "microsoft.refused.app_missing.next": "Begin anew; if the page says that an app is missing, tell whoever runs your"
    " platform.",
    "microsoft.refused.busy.title": "Microsoft is busy",
    "microsoft.refused.busy.text": "Microsoft did not answer in time, or asked to come again later.",
    "microsoft.refused.busy.next": "Wait a few minutes and begin anew.",
    "microsoft.refused.unreachable.title": "Microsoft cannot be reached from here",
    "microsoft.refused.unreachable.text": "This server could not reach Microsoft's sign-in, or what answered there was"
    " not Microsoft.",
    "microsoft.refused.unreachable.next": "Try again in a few minutes. If it lasts, tell whoever runs your platform.",
    "microsoft.refused.defect.title": "Microsoft did not understand the request",
    "microsoft.refused.defect.text": "Microsoft refused the way it was asked, which is a defect of this software or of"
    " the app's registration.",
    "microsoft.refused.defect.next": _OPERATOR,
    "microsoft.refused.other.title": "Microsoft refused",
    "microsoft.refused.other.text": "Microsoft gave a reason that is not known here.",
    "microsoft.refused.other.next": "Look for the attempt under Entra admin center > Identity > Monitoring & health >"
    " Sign-in logs; then begin anew.",
    "microsoft.refused.cloud_unknown.title": "There is no such cloud",
    "microsoft.refused.cloud_unknown.text": "The cloud you began with is not one that can be connected.",
    "microsoft.refused.cloud_unknown.next": _ANEW,
    "microsoft.refused.personal_account.title": "This is a personal account",
    "microsoft.refused.personal_account.text": "You signed in with a personal Microsoft account. It administers no"
    " organisation.",
    "microsoft.refused.personal_account.next": "Begin anew with an administrator's work account.",
    "microsoft.refused.role_application_administrator.title": "An Application Administrator cannot grant these"
    " permissions",
    "microsoft.refused.role_application_administrator.text": "Application and Cloud Application Administrators may"
    " consent to anything but application permissions of Microsoft Graph, which are what reading calendars"
    " takes.",
    "microsoft.refused.role_application_administrator.next": "Begin anew with an account that is Global Administrator"
    " or Privileged Role Administrator.",
    "microsoft.refused.role_missing.title": "This account may not connect the organisation",
    "microsoft.refused.role_missing.text": "It is neither Global Administrator nor Privileged Role Administrator.",
    "microsoft.refused.role_missing.next": "Ask one of them to do this step, or begin anew with such an account. A"
    " role that has to be activated first (PIM) must be active before you sign in.",
    "microsoft.refused.role_unproven.title": "It is not proved that you are an administrator",
    "microsoft.refused.role_unproven.text": "Microsoft did not say which role your account has. Without that, anybody"
    " with an account could pass for an administrator.",
    "microsoft.refused.role_unproven.next": "Tell whoever runs your platform that the app's registration has to set"
    " groupMembershipClaims to DirectoryRole. Then begin anew.",
    "microsoft.refused.tenant_mismatch.title": "The consent is another organisation's",
    "microsoft.refused.tenant_mismatch.text": "You signed in for one organisation, and the permissions were granted"
    " for another. For safety neither was connected.",
    "microsoft.refused.tenant_mismatch.next": "Begin anew and use the same account at both of Microsoft's pages. If"
    " you did, tell whoever runs your platform: somebody may have written the address by hand.",
    "microsoft.refused.state_unknown.title": "This step cannot be gone twice",
    "microsoft.refused.state_unknown.text": "You came back by an address that was used already, or that was made for"
    " another session.",
    "microsoft.refused.state_unknown.next": "Begin anew, and use no bookmark, back button or second window on the way.",
    "microsoft.refused.state_expired.title": "It took too long",
    "microsoft.refused.state_expired.text": "Between beginning and coming back from Microsoft there may be ten minutes"
    " at most.",
    "microsoft.refused.state_expired.next": _ANEW,
    "microsoft.refused.purge_under_way.title": "The organisation is still being disconnected",
    "microsoft.refused.purge_under_way.text": "What was held of it is being deleted. It can be connected again once"
    " there is a receipt.",
    "microsoft.refused.purge_under_way.next": "Look under Disconnect how far it is, and begin anew afterwards.",
    "microsoft.refused.overtaken.title": "Something newer counts already",
    "microsoft.refused.overtaken.text": "Meanwhile another request about this organisation was made.",
    "microsoft.refused.overtaken.next": "Look at the status; begin anew if it is not what you want.",
    "microsoft.refused.id_token_missing.title": "Microsoft did not say who signed in",
    "microsoft.refused.id_token_missing.text": f"The answer has no ID token. {_FORGED}",
    "microsoft.refused.id_token_missing.next": _REPORT,
    "microsoft.refused.id_token_malformed.title": "The proof of sign-in cannot be read",
    "microsoft.refused.id_token_malformed.text": f"The ID token is broken. {_FORGED}",
    "microsoft.refused.id_token_malformed.next": _REPORT,
    "microsoft.refused.id_token_signature.title": "The proof of sign-in is not signed by Microsoft",
    "microsoft.refused.id_token_signature.text": f"The ID token's signature does not fit Microsoft's keys. {_FORGED}",
    "microsoft.refused.id_token_signature.next": _REPORT,
    "microsoft.refused.id_token_issuer.title": "The proof of sign-in was issued elsewhere",
    "microsoft.refused.id_token_issuer.text": f"The ID token does not come from the tenant it names. {_FORGED}",
    "microsoft.refused.id_token_issuer.next": _REPORT,
    "microsoft.refused.id_token_audience.title": "The proof of sign-in is for another app",
    "microsoft.refused.id_token_audience.text": f"The ID token was not made for this app. {_FORGED}",
    "microsoft.refused.id_token_audience.next": _REPORT,
    "microsoft.refused.id_token_time.title": "The proof of sign-in is not valid now",
    "microsoft.refused.id_token_time.text": "The ID token has expired or is not valid yet; this server's clock may be"
    f" wrong. {_FORGED}",
    "microsoft.refused.id_token_time.next": _REPORT,
    "microsoft.refused.id_token_nonce.title": "The proof of sign-in answers another request",
    "microsoft.refused.id_token_nonce.text": f"The ID token was not made for the sign-in that you began. {_FORGED}",
    "microsoft.refused.id_token_nonce.next": _REPORT,
}

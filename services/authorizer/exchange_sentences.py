"""What an IT admin is told of an Exchange server, for each reason: what happened, what to do, and where."""

from typing import Final

_ADDRESS: Final = "`Get-WebServicesVirtualDirectory | fl Server,InternalUrl,ExternalUrl`"
_SCOPE: Final = (
    "`Get-ManagementRoleAssignment -Role ApplicationImpersonation | fl RoleAssigneeName,CustomRecipientWriteScope`"
)
_ACCOUNT: Final = "Active Directory Users and Computers > the account > Properties > Account"
_MAILBOX: Final = "Exchange admin center > Recipients > Mailboxes"
_GROUPS: Final = "Exchange admin center > Recipients > Groups"
_GRANT: Final = (
    "`New-ManagementRoleAssignment -Role ApplicationImpersonation -User ACCOUNT -CustomRecipientWriteScope SCOPE`"
)

REFUSALS: Final = {
    # the way to the server
    "autodiscover_nothing": "Autodiscover found no Exchange server for the mailbox's domain. Connect again with the"
    f" server's address, as {_ADDRESS} prints it; it ends with /EWS/Exchange.asmx.",
    "autodiscover_foreign": "Autodiscover led to a host outside the mailbox's domain by a way that proves nothing, and"
    f" no password is sent there. Connect again with the server's address, as {_ADDRESS} prints it.",
    "autodiscover_refused": "Autodiscover answered, but not for the mailbox: the address is not known there. Compare it"
    f" with {_MAILBOX}, or connect again with the server's address, as {_ADDRESS} prints it.",
    "name_unknown": f"The server's name cannot be resolved from here. Compare it with {_ADDRESS}, and make sure that"
    " this host asks a DNS server that knows it.",
    "address_refused": "The server's name leads to an address that is never asked: this host itself, or one kept for"
    f" other purposes (loopback, link-local, cloud metadata). Give the server's own name, as {_ADDRESS} prints it; the"
    " operator of this host can allow a network by BUSYLINE_REACH_NETWORKS.",
    "unreachable": "Nothing answers at the server's address and port. Compare both with"
    f" {_ADDRESS}, and open the way from this host to it (port 443) in the firewall between.",
    "not_tls": "What answers at the server's address and port does not speak TLS. Compare both with"
    f" {_ADDRESS}: the port is 443, if nothing else stands there.",
    "not_trusted": "The server's certificate is not trusted here, has expired, or is made out for another name. Use a"
    " name that it bears (`Get-ExchangeCertificate | fl CertificateDomains,NotAfter,Services`); where your own"
    " certificate authority issued it, the operator of this host must name that authority's file by BUSYLINE_CA_FILE.",
    "not_found": "The server answers, but there is no EWS at this path (404). Connect again with the address that"
    f" {_ADDRESS} prints; it ends with /EWS/Exchange.asmx.",
    "redirected": "The server sends requests elsewhere, and no password is sent after them. Connect again with the"
    f" address that {_ADDRESS} prints, and publish EWS without a redirect or a sign-in page.",
    "http_error": "The server, or a proxy in front of it, answers EWS with an HTTP error. Look into the application log"
    " of the server (Event Viewer) and into `Get-ServerComponentState SERVER -Component EwsProxy`.",
    "not_xml": "What answers is not EWS: a web page, or a proxy's. Connect again with the address that"
    f" {_ADDRESS} prints, and publish EWS without a sign-in page in front.",
    "malformed": "The server's answer lacks what EWS must answer with. Make sure that the address is the one that"
    f" {_ADDRESS} prints; if it is, its software is not one that can be read.",
    "too_large": "The server's answer is larger than any that was asked for. Make sure that the address is the one that"
    f" {_ADDRESS} prints.",
    "forbidden": "The server refuses EWS (403): it is switched off for the organisation or the mailbox, or this client"
    " is filtered. In `Get-OrganizationConfig | fl Ews*` and `Get-CASMailbox MEMBER | fl Ews*` EwsEnabled must not be"
    " False, and the User-Agent of Busyline must be in EwsAllowList or not in EwsBlockList.",
    # signing in
    "no_scheme": "The server offers no way to sign in that is known here (Basic, NTLM, OAuth). Allow one:"
    " `Set-WebServicesVirtualDirectory IDENTITY -BasicAuthentication $true`, or -WindowsAuthentication $true.",
    "scheme_not_offered": "The server does not offer the way to sign in that was asked for. Connect again without"
    " --auth, or allow it: `Set-WebServicesVirtualDirectory IDENTITY -BasicAuthentication $true`, or"
    " -WindowsAuthentication $true, or -OAuthAuthentication $true.",
    "scheme_without_credential": "The server offers no way to sign in that the credential is good for: an app signs in"
    " by OAuth, a password by Basic or NTLM. Connect again with the other one, or look at"
    " `Get-WebServicesVirtualDirectory | fl *Authentication*`.",
    "sign_in_refused": "The server refuses the sign-in (401): the password is wrong, or the account is locked, disabled"
    f" or expired. Check the account ({_ACCOUNT}) and connect again; it is not tried again by itself, so as not to lock"
    " the account. If the password is right: NTLM fails for ever behind a proxy that ends TLS where Extended Protection"
    " is on; use --auth basic, or `Set-WebServicesVirtualDirectory IDENTITY -ExtendedProtectionTokenChecking None`.",
    "bearer_refused": "The server does not accept the token (401). The app needs the application permission"
    " full_access_as_app with admin consent (Entra admin center > Identity > Applications > App registrations > the app"
    " > API permissions); a server of your own needs hybrid modern authentication: `Get-AuthServer | fl Name,Enabled`.",
    "resource_foreign": "A token is sent only to the server that it is issued for, and this server's host is another."
    " Connect again with --resource naming the server's own host (its service principal name, as hybrid modern"
    f" authentication registers it), or without it for Exchange Online; compare with {_ADDRESS}.",
    "account_without_mailbox": "The service account has no mailbox, and this server wants one. Give it one:"
    " `Enable-Mailbox ACCOUNT`; Exchange 2013 needs it, later versions do without.",
    # impersonation
    "impersonation_denied": "The account may not impersonate the mailbox: the role ApplicationImpersonation is missing,"
    f" or the mailbox is outside its scope. Look at {_SCOPE} and grant it: {_GRANT}. Changes take up to some hours to"
    " reach every server.",
    "impersonation_right_missing": "The server asks for the rights of Exchange 2007 (ms-Exch-EPI-Impersonation), which"
    f" the account lacks. On later versions grant the role instead: {_GRANT}.",
    "impersonation_failed": "Exchange could not carry out the impersonation: the account or the mailbox lies in another"
    " forest or domain without a trust, or belongs to an application pool. Use an ordinary account of the mailboxes'"
    " own forest, see `Get-User ACCOUNT | fl Identity,OrganizationalUnit`.",
    "impersonation_malformed": "The server does not accept the impersonation as it was asked for; with OAuth the token"
    " must be an app's own, not a user's. Give the app the application permission full_access_as_app: Entra admin"
    " center > Identity > Applications > App registrations > the app > API permissions.",
    "mailbox_unknown": "The address has no mailbox on this server: it is misspelt, or its mailbox is in Exchange Online"
    " or in another organisation. Name one that `Get-Mailbox ADDRESS | fl PrimarySmtpAddress,Database` shows here.",
    "address_not_primary": "The address is not the mailbox's primary one. Connect again with the address that"
    " `Get-Mailbox ADDRESS | fl PrimarySmtpAddress` prints.",
    "principal_invalid": "The server knows no user of this name or SID. Compare it with"
    " `Get-User ADDRESS | fl UserPrincipalName,Sid`.",
    "scope_too_wide": "The mailbox that must be out of reach can be read: the account may impersonate more than it"
    f" should. Look at {_SCOPE}, and limit it: `New-ManagementScope`, then"
    " `Set-ManagementRoleAssignment ASSIGNMENT -CustomRecipientWriteScope SCOPE`.",
    # calendars
    "calendar_denied": f"The account may not read the calendar. Grant it the role ApplicationImpersonation: {_GRANT}.",
    "calendar_missing": "The mailbox has no calendar that could be read. Try another ordinary mailbox, or look at"
    " `Get-MailboxFolderStatistics ADDRESS -FolderScope Calendar`.",
    "free_busy_denied": "The account may not see when the mailbox is free or busy. Give it at least AvailabilityOnly:"
    " `Get-MailboxFolderPermission ADDRESS:\\Calendar`.",
    "free_busy_failed": "Exchange could not work out when the mailbox is free or busy. Look at"
    " `Test-OutlookWebServices -Identity ADDRESS` and into the server's application log (Event Viewer).",
    "free_busy_elsewhere": "The mailbox's free/busy lies on another server, which this one cannot ask. Name"
    " a mailbox that lives here: `Get-Mailbox ADDRESS | fl Database,ServerName`; for the others look at"
    " `Get-AvailabilityAddressSpace`.",
    "address_unknown": f"Exchange does not know the address. Compare it with {_MAILBOX}.",
    "operation_missing": "The server does not know an operation that is needed here. Make sure that it is Exchange 2013"
    " or later (`Get-ExchangeServer | fl AdminDisplayVersion`); other servers may lack it.",
    "listing_missing": "The server cannot list members of distribution groups (ExpandDL), or rooms (GetRoomLists)."
    " Connect again with a list (--from-list), such as `Get-Mailbox -ResultSize Unlimited | Select PrimarySmtpAddress |"
    " Export-Csv FILE.csv` writes, or with the directory (--ldap).",
    "exchange_refused": "Exchange refused a request for a reason not known here. Look at `Get-ServerHealth SERVER` and"
    " into the server's EWS log (%ExchangeInstallPath%Logging\\Ews), and report it to the operator of this host.",
    # where mailboxes are listed
    "distribution_group_unknown": f"The distribution group does not exist. Compare its address with {_GROUPS}.",
    "distribution_group_empty": "The distribution group has no members that can be seen. Add some, or show them"
    f" (hidden membership shows nobody): {_GROUPS}.",
    "room_lists_empty": "There are no room lists with rooms. Make one: `New-DistributionGroup -RoomList`, then"
    " `Add-DistributionGroupMember`.",
    "directory_list_empty": "No address was given to read. Connect again with a list, such as"
    " `Get-Mailbox -ResultSize Unlimited | Select PrimarySmtpAddress | Export-Csv FILE.csv` writes.",
    "ldap_name_unknown": "The directory's name cannot be resolved from here. Compare it with"
    " `Get-ADDomainController | fl HostName`, and make sure that this host asks a DNS server that knows it.",
    "ldap_address_refused": "The directory's name leads to an address that is never asked: this host itself, or one for"
    " other purposes. Give a domain controller's own name: `Get-ADDomainController | fl HostName`; the operator of"
    " this host can allow a network by BUSYLINE_REACH_NETWORKS.",
    "ldap_unreachable": "Nothing answers at the directory's address and port. Compare them with"
    " `Get-ADDomainController | fl HostName`, and open the way (636 or 389, the global catalogue 3269 or 3268).",
    "ldap_not_trusted": "The directory's certificate is not trusted here, has expired, or is made out for another name."
    " Use the name that it bears (`Get-ADDomainController | fl HostName`); the operator of this host must name the file"
    " of a certificate authority of your own by BUSYLINE_CA_FILE.",
    "ldap_tls_refused": "The directory speaks no TLS, and a password is never sent without. Give a certificate to the"
    " domain controller (Active Directory Certificate Services), or name another: `Get-ADDomainController | fl Name`.",
    "ldap_bind_refused": "The directory refuses the sign-in: the name or the password is wrong, or the account is"
    f" locked, disabled or expired. Check the account ({_ACCOUNT}) and connect again; it is not tried by itself,"
    " so as not to lock the account.",
    "ldap_no_password": "No password is at hand to sign in to the directory with. Connect again with --ldap-user and"
    f" --ldap-password-file, of an account that may read it: {_ACCOUNT}.",
    "ldap_base_unknown": "The directory has no entry where the search shall begin. Copy the DN that"
    " `(Get-ADDomain).DistinguishedName` prints.",
    "ldap_group_unknown": "The directory knows no group of this DN, or the account may not see it. Copy it from"
    " `Get-ADGroup NAME | fl DistinguishedName`.",
    "ldap_search_refused": "The directory refuses the search. Give the account the right to read users and their"
    " Exchange attributes, and see what `Get-ADUser -LDAPFilter '(msExchMailboxGuid=*)'` shows it.",
    "ldap_empty": "The directory shows no mailbox below the base, or in the group. Compare with"
    " `Get-ADUser -LDAPFilter '(msExchMailboxGuid=*)' -SearchBase BASE`.",
}

DELAYS: Final = {
    "server_busy": "The Exchange server has no time at present and asks to wait. It is tried again by itself; if it"
    " lasts, look at `Get-ThrottlingPolicy | fl Name,Ews*` and give the account a policy of its own.",
    "too_many_connections": "The account has too many requests open at the Exchange server. It is tried again by"
    " itself; if it lasts, give the account a policy of its own: `New-ThrottlingPolicy -EwsMaxConcurrency`.",
    "too_many_subscriptions": "The mailbox or the account has too many subscriptions at the Exchange server. It is"
    " tried again by itself; if it lasts, see `Get-ThrottlingPolicy | fl Name,EwsMaxSubscriptions`.",
    "too_many_items": "The mailbox holds more in one span than the Exchange server gives at once. It is tried again by"
    " itself; if it lasts, name another mailbox to try: `Get-Mailbox -ResultSize 10`.",
    "mailbox_moving": "The mailbox is being moved to another database. It is tried again by itself; `Get-MoveRequest`"
    " shows how far it is.",
    "mailbox_store_unavailable": "The mailbox's database is not available. It is tried again by itself; if it lasts,"
    " look at `Get-MailboxDatabaseCopyStatus` or `Get-MailboxDatabase -Status | fl Name,Mounted`.",
    "active_directory_unavailable": "The Exchange server cannot reach Active Directory. It is tried again by itself; if"
    " it lasts, look at `Get-ExchangeServer -Status | fl CurrentDomainControllers`.",
    "server_disturbed": "The Exchange server is disturbed. It is tried again by itself; if it lasts, look at"
    " `Get-ServerHealth SERVER | ? AlertValue -eq Unhealthy`.",
    "server_timeout": "The Exchange server did not answer in time. It is tried again by itself; if it lasts, look at"
    " the firewall between and at `Get-ServerHealth SERVER`.",
    "server_unreachable": "The Exchange server, which answered before, cannot be reached at present. It is tried again"
    " by itself; if it lasts, look at the way to it and at `Get-ServerComponentState SERVER`.",
    "server_broke_off": "The connection to the Exchange server broke before the end of an answer. It is tried again by"
    " itself; if it lasts, look at the proxy or firewall between.",
    "ldap_timeout": "The directory did not answer in time. It is tried again by itself; if it lasts, look at the way to"
    " the domain controller.",
    "ldap_busy": "The directory has no time at present. It is tried again by itself; if it lasts, name another domain"
    " controller: `Get-ADDomainController | fl HostName`.",
    "ldap_broke_off": "The connection to the directory broke. It is tried again by itself; if it lasts, look at the"
    " firewall between.",
}

WARNINGS: Final = {
    "member_is_administrator": "The mailbox tried looks like an administrator's, which misleads: administrators are"
    " kept from being impersonated, or have rights of their own. Try an ordinary one: `Get-Mailbox -ResultSize 10`.",
    "exchange_online": "The endpoint is Exchange Online. EWS there is retired: since 1 October 2026 for every tenant"
    " that has not listed its apps (`Get-OrganizationConfig | fl EwsEnabled,EwsAllowedAppIDs`), and for all from"
    " 1 April 2027. Connect it to Microsoft 365 (Graph) instead: `busyline connect ORG --tenant ...`.",
    "domains_differ": "The account's domain is not the mailboxes'. That is fine where both belong to one organisation;"
    " otherwise compare `Get-User ACCOUNT | fl UserPrincipalName` with `Get-AcceptedDomain`.",
    "plain_http": "The endpoint is plain http: passwords and calendars can be read on the way. Use https, as"
    " `Get-WebServicesVirtualDirectory | fl ExternalUrl,InternalUrl` prints it.",
    "outsider_missing": "Whether the account reaches more mailboxes than it should was not tried. Name a mailbox that"
    " must be out of its reach by --outsider; see `Get-ManagementScope | fl Name,RecipientFilter`.",
    "outsider_unclear": "Whether the account reaches more mailboxes than it should cannot be told from this one: it is"
    " not refused for being out of reach. Name an ordinary mailbox of this server: `Get-Mailbox -ResultSize 10`.",
    "version_old": "The server is older than Exchange 2016, which is not supported by its maker any more; some of what"
    " is asked may be missing. See `Get-ExchangeServer | fl AdminDisplayVersion`.",
    "version_untold": "The server does not tell its version; it may be no Exchange. What follows shows whether it can"
    " be read; of an Exchange, `Get-ExchangeServer | fl AdminDisplayVersion` prints it.",
    "names_missing": "The server cannot look up names, or does not know this one. Nothing that is needed depends on it;"
    " compare the address with `Get-Mailbox ADDRESS | fl PrimarySmtpAddress`.",
    "names_elsewhere": "The address book knows the address as one without a mailbox on this server (a contact, a group,"
    " or a mailbox in Exchange Online). Name one that `Get-Mailbox ADDRESS` shows here.",
    "changes_missing": "The server does not tell what has changed in a calendar (SyncFolderItems). Nothing is lost:"
    " every calendar is read as a whole each time, which asks more of the server. Of an Exchange,"
    " `Get-ExchangeServer | fl AdminDisplayVersion` prints what it is.",
    "zone_missing": "The server does not tell a mailbox's time zone (GetUserConfiguration). Times are right all the"
    " same; the zone published is one that its free/busy fits, or UTC. An Exchange holds it:"
    " `Get-MailboxRegionalConfiguration ADDRESS | fl TimeZone`.",
    "one_mailbox": "Only one mailbox was at hand to ask the free/busy of. Name a second by --outsider; see"
    " `Get-Mailbox -ResultSize 10`.",
}

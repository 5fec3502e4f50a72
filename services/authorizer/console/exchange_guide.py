"""Decides which commands prepare an Exchange organisation, filled in with the admin's own names, and which undo it.

Pure. Every value is quoted as PowerShell quotes, whatever it holds: no name that somebody typed becomes a command.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

DOMAIN: Final = "DOMAIN"  # capitals stand for what the admin must put there
PERSON: Final = "PERSON"
ACCOUNT: Final = "svc-busyline"
GROUP: Final = "busyline-calendars"
_LONGEST: Final = 256
_QUOTES: Final = "'\u2018\u2019\u201a\u201b"  # about_Quoting_Rules: PowerShell ends a text at any of these


class Names(Struct, frozen=True, kw_only=True):
    """The names in the commands. `egress` are the addresses that this deployment calls from."""

    product: str = "Busyline"
    account: str = ACCOUNT
    domain: str = DOMAIN
    group: str = GROUP
    member: str = ""
    egress: tuple[str, ...] = ()


class Stage(Struct, frozen=True, kw_only=True):
    """One step of the preparation: its name (its texts are `exchange.guide.<name>`...) and its commands, if any."""

    name: str
    commands: str = ""


def names(values: Mapping[str, str], told: Mapping[str, str], *, product: str, egress: tuple[str, ...]) -> Names:
    r"""Return the names that a form's values tell: DOMAIN\svc, svc@domain, the first group's address, the member.

    What is `told` for the commands alone (account, domain, group) comes first.
    """
    account = _plain(told.get("account", "")) or _plain(values.get("account", ""))
    group = _plain(told.get("group", "")) or _plain((values.get("groups", "").split() or [""])[0])
    member = _plain(values.get("member", ""))
    domains = (told.get("domain", ""), *(one.partition("@")[2] for one in (account, member, group)))
    return Names(
        product=_plain(product) or Names().product,
        account=account.rpartition("\\")[2].partition("@")[0] or ACCOUNT,
        domain=next(filter(None, map(_plain, domains)), DOMAIN),
        group=group.partition("@")[0] or GROUP,
        member=member,
        egress=tuple(filter(None, map(_plain, egress))),
    )


def has_placeholders(known: Names) -> bool:
    """Say whether anything in the commands is still to be replaced by hand."""
    return known.domain == DOMAIN or not known.member


def stages(known: Names) -> tuple[Stage, ...]:
    """Return the steps of the preparation, in their order."""
    return (
        Stage(name="account", commands=_account(known)),
        Stage(name="group", commands=_group(known)),
        Stage(name="impersonation", commands=_impersonation(known)),
        Stage(name="throttling", commands=_throttling(known)),
        Stage(name="firewall", commands=_firewall(known)),
    )


def listing() -> str:
    """Return the command that writes the list of all mailboxes, to be uploaded."""
    return (
        "Get-Mailbox -ResultSize Unlimited | Select-Object PrimarySmtpAddress |"
        " Export-Csv mailboxes.csv -NoTypeInformation -Encoding UTF8"
    )


def undoing(known: Names) -> str:
    """Return the commands that take the right to impersonate away again."""
    return "\n".join(
        (
            f"Remove-ManagementRoleAssignment {quoted(f'{known.product} impersonation')}",
            f"Remove-ManagementScope {quoted(f'{known.product} scope')}",
        )
    )


def quoted(text: str) -> str:
    """Return a text as PowerShell takes it literally: every sort of single quote in it doubled."""
    return "'" + "".join(letter * 2 if letter in _QUOTES else letter for letter in _plain(text)) + "'"


def _plain(text: str) -> str:
    """Return a text without what a terminal could take for the end of a line, or for nothing at all."""
    return "".join(letter for letter in text if letter.isprintable()).strip()[:_LONGEST]


def _account(known: Names) -> str:
    user = quoted(f"{known.account}@{known.domain}")
    return (
        f"New-Mailbox -Name {quoted(known.product)} -Alias {quoted(known.account)} -UserPrincipalName {user}"
        " -Password (Read-Host -AsSecureString)"
    )


def _group(known: Names) -> str:
    person = known.member or f"{PERSON}@{known.domain}"
    return "\n".join(
        (
            f"New-DistributionGroup -Name {quoted(f'{known.product} calendars')} -Alias {quoted(known.group)}",
            f"Add-DistributionGroupMember -Identity {quoted(known.group)} -Member {quoted(person)}",
        )
    )


def _impersonation(known: Names) -> str:
    """Return what grants the role for the group alone; a quote in the group's DN is doubled in the filter."""
    scope, user = quoted(f"{known.product} scope"), quoted(f"{known.account}@{known.domain}")
    filtered = """("MemberOfGroup -eq '{0}'" -f $group.Replace("'", "''"))"""
    granted = f"New-ManagementRoleAssignment -Name {quoted(f'{known.product} impersonation')}"
    shown = "Get-ManagementRoleAssignment -Role ApplicationImpersonation"
    return "\n".join(
        (
            f"$group = (Get-DistributionGroup -Identity {quoted(known.group)}).DistinguishedName",
            f"New-ManagementScope -Name {scope} -RecipientRestrictionFilter {filtered}",
            f"{granted} -Role ApplicationImpersonation -User {user} -CustomRecipientWriteScope {scope}",
            f"{shown} | Format-List RoleAssigneeName,CustomRecipientWriteScope",
        )
    )


def _throttling(known: Names) -> str:
    policy = quoted(known.product)
    return "\n".join(
        (
            f"New-ThrottlingPolicy -Name {policy} -EwsMaxConcurrency 50 -EwsMaxSubscriptions 5000",
            f"Set-Mailbox -Identity {quoted(f'{known.account}@{known.domain}')} -ThrottlingPolicy {policy}",
        )
    )


def _firewall(known: Names) -> str:
    if not known.egress:
        return ""
    return (
        f"New-NetFirewallRule -DisplayName {quoted(known.product)} -Direction Inbound -Protocol TCP -LocalPort 443"
        f" -RemoteAddress {','.join(quoted(one) for one in known.egress)} -Action Allow"
    )

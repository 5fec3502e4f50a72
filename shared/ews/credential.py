"""What a service account signs in with: at Exchange, and at the directory that lists its mailboxes."""

from msgspec import Struct

from shared.identity import GraphCredential


class EwsCredential(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    r"""A user name (DOMAIN\name or name@domain) and its password, or an app for OAuth.

    The directory (LDAP) is bound to with `ldap_user` (a DN, a UPN or DOMAIN\name) where it is given, else with the
    same user and password.
    """

    username: str = ""
    password: str = ""
    app: GraphCredential | None = None
    ldap_user: str = ""
    ldap_password: str = ""

    def __repr__(self) -> str:
        return "EwsCredential(***)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return []

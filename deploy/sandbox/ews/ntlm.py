"""The server's side of an NTLM handshake: pyspnego checks the answers, and is known here alone.

It refuses everything but raw NTLM tokens. Channel bindings are neither demanded nor compared.
"""

import os
import struct
import threading
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import spnego
import spnego.exceptions
from msgspec import Struct

from deploy.sandbox import tls
from deploy.sandbox.ews.world import EwsWorld

_SIGNATURE = b"NTLMSSP\0"
_NEGOTIATE, _AUTHENTICATE = 1, 3  # [MS-NLMP] 2.2.1: the types of the client's messages
_UNICODE = 0x1  # [MS-NLMP] 2.2.2.5
_VARIABLE = "NTLM_USER_FILE"  # the one place pyspnego's acceptor takes passwords from, for the whole process
_one_at_a_time = threading.Lock()


class Step(Struct, frozen=True, kw_only=True):
    """What came of a token: the reply to send, or the name it was for and whether the handshake is complete."""

    reply: str = ""
    name: str = ""
    complete: bool = False


def step(world: EwsWorld, channel: dict[str, Any], sent: str) -> Step:
    """Take one token of a client (base64) and return what comes of it. Never raises."""
    try:
        token = b64decode(sent, validate=True)
    except ValueError:  # no base64
        return Step()
    match _kind(token):
        case 1:
            return _begun(world, channel, token)
        case 3:
            return _ended(world, channel, token)
        case _:
            return Step()


def write_users(world: EwsWorld) -> None:
    """Write the file of passwords that the acceptor reads, under each form of each name. Blocks.

    A line is DOMAIN:user:password; a client sends a principal name without a domain.
    """
    lines: dict[tuple[str, str], str] = {}
    for account in world.every():
        for domain, user in ((account.domain, account.user), ("", account.upn), ("", account.user)):
            lines.setdefault((domain.lower(), user.lower()), f"{domain}:{user}:{account.password}\n")
    path = Path(world.ntlm_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    tls.write_private(path, "".join(lines.values()).encode())


def _kind(token: bytes) -> int:
    if len(token) < 12 or not token.startswith(_SIGNATURE):
        return 0
    return int(struct.unpack_from("<I", token, 8)[0])


def _begun(world: EwsWorld, channel: dict[str, Any], token: bytes) -> Step:
    with _one_at_a_time:
        os.environ[_VARIABLE] = world.ntlm_file
        try:
            context = spnego.server(protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm)
            reply = context.step(token)
        except (spnego.exceptions.SpnegoError, ValueError, struct.error):
            return Step()
    channel["ntlm"] = context
    return Step(reply=b64encode(reply or b"").decode())


def _ended(world: EwsWorld, channel: dict[str, Any], token: bytes) -> Step:
    context, name = channel.pop("ntlm", None), _named(token)
    if context is None:
        return Step()
    with _one_at_a_time:
        os.environ[_VARIABLE] = world.ntlm_file
        try:
            context.step(token)
        except (spnego.exceptions.SpnegoError, ValueError, struct.error):
            return Step(name=name)
    return Step(name=name, complete=bool(context.complete))


def _named(token: bytes) -> str:
    r"""Return the name in a client's last message: DOMAIN\user, or user alone. [MS-NLMP] 2.2.1.3."""
    try:
        flags = int(struct.unpack_from("<I", token, 60)[0])
        domain, user = (_text(token, place, unicode=bool(flags & _UNICODE)) for place in (28, 36))
    except (struct.error, UnicodeDecodeError):
        return ""
    return f"{domain}\\{user}" if domain else user


def _text(token: bytes, place: int, *, unicode: bool) -> str:
    length, _, offset = struct.unpack_from("<HHI", token, place)
    return token[offset : offset + length].decode("utf-16-le" if unicode else "latin-1")

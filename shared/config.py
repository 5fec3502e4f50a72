"""Settings from the environment, strict: a misspelt name, a wrong type or a value out of bounds is refused by name.

A service's settings are one frozen Struct with a sentence a field; `BUSYLINE_<PREFIX>_<FIELD>` sets one, and the same
name with `_FILE` reads it from a file (mounted secrets).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

PREFIX = "BUSYLINE_"
S = TypeVar("S", bound=Struct)


class Secret:
    """A text that does not print; `reveal()` is the one way to it."""

    def __init__(self, value: str = "") -> None:
        """Keep the value out of sight."""
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself, for the one call that needs it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)" if self._value else "Secret()"


class SettingsError(ValueError):
    """A setting is wrong; the message names it and never quotes its value."""


class Deployment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every service needs to know (prefix BUSYLINE_)."""

    broker_url: Annotated[
        Secret, Meta(description="Where messages pass: amqp://, amqps://, or memory:// for one process.")
    ] = Secret("memory://")
    broker_admin_url: Annotated[
        Secret,
        Meta(
            description="RabbitMQ's management API, https://user:password@host:15671 or http:// within one machine or"
            " network: the command line makes consumers' users and queues there; no service needs it.",
        ),
    ] = Secret()
    database_url: Annotated[
        Secret, Meta(description="Where state is kept: postgresql://user:password@host/name or sqlite:///file.")
    ] = Secret("sqlite:///var/busyline.db")
    keys_file: Annotated[
        str, Meta(description="File with the keys that seal credentials, one `id:base64` a line, the newest first.")
    ] = "var/keys"
    ca_file: Annotated[
        str, Meta(description="A private CA to trust beside the system's (the sandbox's, an Exchange server's).")
    ] = ""
    sandbox_url: Annotated[
        str,
        Meta(
            pattern=r"^$|^https://[^\s/?#@]+/?$",
            description="https address of the sandbox, which then serves as the cloud named `sandbox`.",
        ),
    ] = ""
    reach_networks: Annotated[
        str,
        Meta(
            description="Networks (CIDR, separated by commas) that an Exchange server or directory named by an admin"
            " may lie in although they are loopback or link-local, such as 127.0.0.0/8 for a trial; plain http is"
            " spoken only there. A consumer's webhook is delivered to them, too, and to private networks only if they"
            " are named here.",
        ),
    ] = ""
    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$", description="How much is logged.")] = "info"
    log_format: Annotated[str, Meta(pattern="^(json|console)$", description="How log lines are written.")] = "json"
    health_host: Annotated[str, Meta(description="Address that /livez and /readyz listen on.")] = "127.0.0.1"
    health_port: Annotated[
        int, Meta(ge=0, le=65535, description="Port of /livez and /readyz; 0 switches them off.")
    ] = 0


def load(kind: type[S], environ: Mapping[str, str], section: str = "") -> S:
    """Read one Struct of settings from the environment. Raises SettingsError naming the setting."""
    raw: dict[str, str] = {}
    for field in kind.__struct_fields__:
        name = variable(section, field)
        value = environ.get(name)
        if value is None and (path := environ.get(name + "_FILE")) is not None:
            value = _read(name, path)
        if value is not None:
            raw[field] = value
    try:
        return msgspec.convert(raw, kind, strict=False, dec_hook=_secret)
    except msgspec.ValidationError as error:
        raise SettingsError(_explain(section, error)) from None


def variable(section: str, field: str) -> str:
    """Return the environment variable of a field: BUSYLINE_FETCHER_READINGS."""
    return PREFIX + "_".join(part for part in (section, field) if part).upper()


def refuse_unknown(environ: Mapping[str, str], known: Iterable[str]) -> None:
    """Raise SettingsError for a BUSYLINE_ variable that no setting bears: a misspelt name must not pass in silence."""
    names = set(known)
    names |= {name + "_FILE" for name in names}
    for name in environ:
        if name.startswith(PREFIX) and name not in names:
            raise SettingsError(f"{name} is not a setting; `busyline settings` lists them all")


def describe(kind: type[Struct], section: str = "") -> list[tuple[str, str, Any]]:
    """Return (variable, sentence, default) of every field, in order."""
    hints = get_type_hints(kind, include_extras=True)
    return [
        (variable(section, info.name), _sentence(hints[info.name]), info.default)
        for info in msgspec.structs.fields(kind)
    ]


def _sentence(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        return next((meta.description for meta in get_args(hint)[1:] if isinstance(meta, Meta)), None) or ""
    return ""


def _read(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{name}_FILE cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{name}_FILE cannot be read: it is not UTF-8 text") from None


def _secret(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError


def _explain(section: str, error: msgspec.ValidationError) -> str:
    """Name the setting and the rule; msgspec quotes only types and bounds here, values are strings."""
    text = str(error)
    rule, _, place = text.partition(" - at `$.")
    field = place.rstrip("`").split("[")[0]
    if "Invalid" in rule:
        rule = "Invalid value"
    return f"{variable(section, field)}: {rule}" if field else f"{section or 'settings'}: {rule}"

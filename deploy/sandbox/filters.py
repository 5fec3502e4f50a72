"""Reads a $filter on users into a test of one user's properties, for the forms the directory supports.

It refuses every other form as Microsoft does, and forms that need the advanced query headers where these are missing.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from deploy.sandbox.answers import Refusal

Test = Callable[[Mapping[str, Any]], bool]
_FILTERABLE = {
    "accountenabled": "accountEnabled",
    "creationtype": "creationType",
    "department": "department",
    "displayname": "displayName",
    "givenname": "givenName",
    "id": "id",
    "jobtitle": "jobTitle",
    "mail": "mail",
    "mailnickname": "mailNickname",
    "onpremisessyncenabled": "onPremisesSyncEnabled",
    "surname": "surname",
    "usagelocation": "usageLocation",
    "userprincipalname": "userPrincipalName",
    "usertype": "userType",
}
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<any>assignedLicenses/any\((\w+):\3/skuId eq [0-9a-f-]{36}\))"
    r"|(?P<count>assignedLicenses/\$count)|(?P<word>[\w-]+)|(?P<mark>[(),]))",
    re.IGNORECASE,
)


class _Reader(Struct):
    """The tokens of a clause, read from left to right."""

    tokens: list[str]
    place: int = 0
    advanced: bool = False

    def peek(self) -> str:
        """Return the next token without taking it; empty at the end."""
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        """Take the next token. Raises Refusal where it is not the one expected."""
        token = self.peek()
        if not token or (expected and token.lower() != expected):
            raise _syntax()
        self.place += 1
        return token


def reading(clause: str, *, advanced: bool) -> Test:
    """Return the test a clause stands for. Raises Refusal (400) with Microsoft's codes."""
    reader = _Reader(_tokens(clause))
    test = _either(reader)
    if reader.peek():
        raise _syntax()
    if reader.advanced and not advanced:
        raise unsupported("The specified filter needs the header ConsistencyLevel: eventual and $count=true.")
    return test


def unsupported(message: str) -> Refusal:
    """Return the refusal of a query the directory does not support."""
    return Refusal(400, "Request_UnsupportedQuery", message)


def _syntax() -> Refusal:
    return Refusal(400, "BadRequest", "Invalid filter clause.")


def _tokens(clause: str) -> list[str]:
    tokens, place = [], 0
    clause = clause.rstrip()
    while place < len(clause):
        found = _TOKEN.match(clause, place)
        if found is None:
            raise _syntax()
        tokens.append(found.group().strip())
        place = found.end()
    return tokens


def _either(reader: _Reader) -> Test:
    left = _both(reader)
    while reader.peek().lower() == "or":
        reader.take()
        left = _join_or(left, _both(reader))
    return left


def _join_or(left: Test, right: Test) -> Test:
    return lambda user: left(user) or right(user)


def _join_and(left: Test, right: Test) -> Test:
    return lambda user: left(user) and right(user)


def _both(reader: _Reader) -> Test:
    left = _one(reader)
    while reader.peek().lower() == "and":
        reader.take()
        left = _join_and(left, _one(reader))
    return left


def _one(reader: _Reader) -> Test:
    word = reader.take()
    match word.lower():
        case "(":
            inner = _either(reader)
            reader.take(")")
            return inner
        case "not":
            reader.advanced = True
            negated = _one(reader)
            return lambda user: not negated(user)
        case "startswith" | "endswith" as function:
            return _text_function(reader, function)
        case "assignedlicenses/$count":
            return _license_count(reader)
    if word.lower().startswith("assignedlicenses/any"):
        sku = word.rstrip(")").rpartition(" ")[2].lower()
        return lambda user: any(held["skuId"] == sku for held in user["assignedLicenses"])
    return _comparison(reader, _property(word))


def _property(word: str) -> str:
    found = _FILTERABLE.get(word.lower())
    if found is None:
        raise unsupported(
            f"Unsupported or invalid query filter clause specified for property '{word}' of resource 'User'."
        )
    return found


def _text_function(reader: _Reader, function: str) -> Test:
    reader.take("(")
    name = _property(reader.take())
    reader.take(",")
    value = str(_literal(reader.take())).lower()
    reader.take(")")
    if function == "endswith":
        if name not in {"mail", "userPrincipalName"}:
            raise unsupported(f"endsWith is not supported for property '{name}'.")
        reader.advanced = True
        return lambda user: (user[name] or "").lower().endswith(value)
    return lambda user: (user[name] or "").lower().startswith(value)


def _license_count(reader: _Reader) -> Test:
    reader.advanced = True
    operator, value = reader.take().lower(), _literal(reader.take())
    if operator == "ne":
        return lambda user: len(user["assignedLicenses"]) != value
    if operator == "eq":
        return lambda user: len(user["assignedLicenses"]) == value
    raise unsupported("Only eq and ne are supported for a $count.")


def _comparison(reader: _Reader, name: str) -> Test:
    operator = reader.take().lower()
    match operator:
        case "eq":
            value = _folded(_literal(reader.take()))
            return lambda user: _folded(user[name]) == value
        case "ne":
            reader.advanced = True
            value = _folded(_literal(reader.take()))
            return lambda user: _folded(user[name]) != value
        case "in":
            values = _list(reader)
            return lambda user: _folded(user[name]) in values
    raise unsupported(f"Unsupported or invalid query filter clause specified for property '{name}' of resource 'User'.")


def _list(reader: _Reader) -> set[Any]:
    reader.take("(")
    values = {_folded(_literal(reader.take()))}
    while reader.peek() == ",":
        reader.take()
        values.add(_folded(_literal(reader.take())))
    reader.take(")")
    return values


def _literal(token: str) -> Any:
    if token.startswith("'"):
        return token[1:-1].replace("''", "'")
    match token.lower():
        case "true":
            return True
        case "false":
            return False
        case "null":
            return None
    if token.isdecimal():
        return int(token)
    raise _syntax()


def _folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value

"""Reads what went wrong in an Exchange answer: a fault, or an error in a response message, as fixed words and numbers.

Pure. It refuses to pass on a free text: of all that a server writes only codes, limits and addresses leave here.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from shared.contracts.values import DAY
from shared.ews.elements import Element, child, elements, local, text, within
from shared.ews.errors import EwsError

NONE: Final = frozenset({"", "NoError"})
_CODE: Final = re.compile(r"Error[A-Za-z0-9]{1,94}")  # so all of ResponseCodeType begin
_ADDRESS: Final = re.compile(r"[^\s@<>\"'();:,]{1,64}@[^\s@<>\"'();:,]{1,254}[A-Za-z0-9]")
_LIMIT: Final = re.compile(r"limit\s*=\s*(\d{1,9})", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\d{1,9}")
_BUSY: Final = "ErrorServerBusy"
_HIDING: Final = "ErrorInternalServerError"  # it may wrap what really happened


def told(
    chunks: Iterable[bytes], wanted: tuple[str, ...], *, items: tuple[str, ...] = ()
) -> Iterator[tuple[str, Element]]:
    """Yield what `elements` yields, and raise a fault as the error it names. Raises EwsError."""
    for name, element in elements(chunks, (*wanted, "Fault"), items=items):
        if name == "Fault":
            raise of_fault(element)
        yield name, element


def acknowledged(chunks: Iterable[bytes]) -> None:
    """Read an answer of which only success matters. Raises EwsError for the first response that tells an error."""
    codes = [element for _, element in told(chunks, ("ResponseCode",))]
    if not codes:
        raise EwsError("malformed")
    for code in codes:
        error = of_message(code.getparent())
        if error is not None:
            raise error


def of_message(message: Element, *, fine: frozenset[str] = frozenset()) -> EwsError | None:
    """Return the error that a response message tells, None where it succeeded or its code is among `fine`."""
    code = text(child(message, "ResponseCode"))
    if code in fine or (code in NONE and message.get("ResponseClass") != "Error"):
        return None
    return _error("malformed" if code in NONE else _legal(code), message)


def of_fault(fault: Element) -> EwsError:
    """Return the error that a SOAP fault tells: by its ResponseCode, else by the word in its faultcode."""
    code = next((text(one) for one in within(fault, "ResponseCode")), "")
    if not code:
        word = text(child(fault, "faultcode")).rpartition(":")[2]
        code = word if word.startswith("Error") else ""
    return _error(_legal(code) if code else "fault", fault)


def _error(code: str, holder: Element) -> EwsError:
    """Return an error with the numbers and the address that stand beside its code."""
    values = {one.get("Name", ""): text(one) for one in within(holder, "Value")}
    inner = values.get("InnerErrorResponseCode", "")
    if code == _HIDING and (inner == _BUSY or any(text == _BUSY for text in values.values())):
        code = _BUSY
    return EwsError(code, back_off=_pause(values.get("BackOffMilliseconds", "")), value=_value(code, holder, values))


def _pause(printed: str) -> float | None:
    """Return milliseconds as seconds, at most a day."""
    return min(int(printed) / 1000, float(DAY)) if _NUMBER.fullmatch(printed) else None


def _value(code: str, holder: Element, values: dict[str, str]) -> str:
    """Return the address or the number that an error names, "" where it names none."""
    written = " ".join(
        text(one) for one in holder.iter() if local(one.tag) in ("MessageText", "Message", "faultstring")
    )
    if code == "ErrorNonPrimarySmtpAddress":
        match = next((found for one in (*values.values(), written) if (found := _ADDRESS.search(one))), None)
        return match[0].lower() if match else ""
    number = values.get("PolicyLimit", "")
    if _NUMBER.fullmatch(number):
        return number
    limit = _LIMIT.search(written)
    return limit[1] if limit else ""


def _legal(code: str) -> str:
    """Return a code as it is if it can be one: it is logged, and a free text must not be."""
    return code if _CODE.fullmatch(code) else "malformed"

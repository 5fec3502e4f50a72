"""Holds SOAP messages of EWS against Microsoft's schema, which lies beside the repository; tests skip without it.

Every child of header and body is judged; a SOAP fault is in no schema, so of one only its detail is looked at.
"""

from functools import cache
from pathlib import Path

import pytest
from lxml import etree

EWS = Path(__file__).parents[1] / ".." / "shared" / "data" / "ews"
SCHEMA = EWS / "schema" / "messages.xsd"
SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
ERRORS = "{http://schemas.microsoft.com/exchange/services/2006/errors}"


@cache
def _schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(SCHEMA)))


def problems(body: bytes) -> list[str]:
    """Return what the schema has against a request or an answer; nothing where it is right."""
    if not SCHEMA.is_file():
        pytest.skip("the folder with Microsoft's schema is not here")
    try:
        root = etree.fromstring(body, etree.XMLParser(resolve_entities=False, huge_tree=True))
    except etree.XMLSyntaxError as error:
        return [str(error)]
    if root.tag != f"{SOAP}Envelope" or root.find(f"{SOAP}Body") is None:
        return ["no envelope with a body"]
    parts = [child for part in root for child in part if part.tag in {f"{SOAP}Header", f"{SOAP}Body"}]
    return [problem for part in parts for problem in _of(part)]


def _of(part: etree._Element) -> list[str]:
    if part.tag == f"{SOAP}Fault":
        wanted = ("faultcode", "faultstring", f"detail/{ERRORS}ResponseCode", f"detail/{ERRORS}Message")
        return [f"a fault without {name}" for name in wanted if part.find(name) is None]
    if _schema().validate(part):
        return []
    return [f"{part.tag}: line {entry.line}: {entry.message}" for entry in _schema().error_log]

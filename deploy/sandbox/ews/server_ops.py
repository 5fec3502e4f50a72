"""Answers what concerns the server or a mailbox's settings: ConvertId, GetServerTimeZones, GetUserConfiguration.

Of a mailbox's settings there is only its time zone; ids have one form, and are never really converted.
"""

from collections.abc import Iterator, Mapping

from lxml import etree

from deploy.sandbox import directory
from deploy.sandbox.ews import folders, reading, soap, zone_rules
from deploy.sandbox.ews.call import EwsCall, Failed, Operation
from deploy.sandbox.ews.soap import M, attribute, text
from deploy.sandbox.ews.zones_printing import definition
from deploy.sandbox.mailboxes import zone_name
from deploy.sandbox.rendering import IMMUTABLE_ID, PLAIN_ID, wall
from shared.zones import resolve, windows_name

OPTIONS = "OWA.UserOptions"
_FORMATS = frozenset({"EwsLegacyId", "EwsId", "EntryId", "HexEntryId", "StoreId", "OwaId"})
_XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


def convert_id(call: EwsCall) -> bytes:
    """Answer ConvertId, each id on its own; it needs no mailbox. Raises SoapFault."""
    wanted = call.request.get("DestinationFormat", "")
    if wanted not in _FORMATS:
        raise soap.violation("The format of ids is unknown.")
    return soap.response("ConvertId", _converted(reading.child(call.request, f"{M}SourceIds"), wanted))


def _converted(sources: etree._Element, wanted: str) -> Iterator[str]:
    for source in sources:
        printed, mailbox = source.get("Id", ""), source.get("Mailbox", "")
        if not printed.startswith((IMMUTABLE_ID, PLAIN_ID)):
            yield soap.failure("ConvertId", Failed("ErrorInvalidIdMalformed", "Id is malformed."))
            continue
        names = f'Format="{wanted}" Id="{attribute(printed)}" Mailbox="{attribute(mailbox)}"'
        yield soap.success("ConvertId", f'<m:AlternateId {_XSI} xsi:type="t:AlternateIdType" {names}/>')


def get_server_time_zones(call: EwsCall) -> bytes:
    """Answer GetServerTimeZones: the zones asked for, or those that mailboxes here are in. Raises SoapFault."""
    full = call.request.get("ReturnFullTimeZoneData", "true").lower() in {"true", "1"}
    ids = call.request.find(f"{M}Ids")
    asked = [windows_name(zone) for zone in directory.ZONES] if ids is None else [each.text or "" for each in ids]
    year = int(wall(call.state.clock(), None)[:4])
    zones = ((name, resolve(name)) for name in asked)
    made = "".join(
        definition(name, zone_rules.rules_of(zone, year), full=full) for name, zone in zones if zone is not None
    )
    inner = f"<m:TimeZoneDefinitions>{made}</m:TimeZoneDefinitions>"
    return soap.response("GetServerTimeZones", [soap.success("GetServerTimeZones", inner)])


def get_user_configuration(call: EwsCall) -> bytes:
    """Answer GetUserConfiguration for the options of Outlook on the web, which hold the time zone.

    Raises SoapFault, and Failed for any other configuration.
    """
    name = reading.child(call.request, f"{M}UserConfigurationName")
    element = next(iter(name), None)
    if element is None:
        raise soap.violation("The folder is missing.")
    folder = folders.folder(call, element)
    call.state.counts.select("EWS GetUserConfiguration", name.get("Name", ""))
    if name.get("Name") != OPTIONS or folder.name != folders.ROOT:
        raise Failed("ErrorItemNotFound", "The specified object was not found in the store.")
    entry = "".join(
        f"<t:{part}><t:Type>String</t:Type><t:Value>{text(said)}</t:Value></t:{part}>"
        for part, said in (("DictionaryKey", "timezone"), ("DictionaryValue", zone_name(folder.person.time_zone)))
    )
    where = f'<t:UserConfigurationName Name="{OPTIONS}"><t:DistinguishedFolderId Id="root"/></t:UserConfigurationName>'
    dictionary = f"<t:Dictionary><t:DictionaryEntry>{entry}</t:DictionaryEntry></t:Dictionary>"
    inner = f"<m:UserConfiguration>{where}{dictionary}</m:UserConfiguration>"
    return soap.response("GetUserConfiguration", [soap.success("GetUserConfiguration", inner)])


OPERATIONS: Mapping[str, Operation] = {
    "ConvertId": convert_id,
    "GetServerTimeZones": get_server_time_zones,
    "GetUserConfiguration": get_user_configuration,
}

"""Writes responses in the forms that differ from operation to operation, where most have a list of response messages.

It knows the forms and nothing of what is in them.
"""

from deploy.sandbox.ews import soap
from deploy.sandbox.ews.call import M_NS, T_NS, Failed

_NAMES = f'xmlns:m="{M_NS}" xmlns:t="{T_NS}"'
_SINGLE = frozenset({"GetRoomLists", "GetRooms"})  # their response is its own response message


def single(operation: str, inner: str) -> bytes:
    """Return the response of an operation that has no list of response messages."""
    whole = f"<m:ResponseCode>NoError</m:ResponseCode>{inner}"
    return f'<m:{operation}Response ResponseClass="Success" {_NAMES}>{whole}</m:{operation}Response>'.encode()


def refused(operation: str, failed: Failed) -> bytes:
    """Return the response of class Error of any operation."""
    error = soap.error(failed)
    if operation in _SINGLE:
        return f'<m:{operation}Response ResponseClass="Error" {_NAMES}>{error}</m:{operation}Response>'.encode()
    if operation == "GetUserAvailability":
        message = f'<m:ResponseMessage ResponseClass="Error">{error}</m:ResponseMessage>'
        one = f"<m:FreeBusyResponseArray><m:FreeBusyResponse>{message}</m:FreeBusyResponse></m:FreeBusyResponseArray>"
        return f"<m:GetUserAvailabilityResponse {_NAMES}>{one}</m:GetUserAvailabilityResponse>".encode()
    return soap.response(operation, [soap.failure(operation, failed)])

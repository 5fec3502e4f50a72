"""What an Exchange server gave instead of an answer, in fixed words and numbers only."""


class EwsError(Exception):
    """No answer, or an error: `code` is Exchange's ResponseCode as it is (ErrorServerBusy), or a word of ours.

    Ours are in lower case (see `OURS`). `status` is the HTTP status, 0 where there was none; `back_off` the pause that
    the server orders, in seconds (BackOffMilliseconds, Retry-After); `value` a number or an address that the error
    names (the limit that was passed, the primary address), never a free text. `charged` says whose budget the call was
    made from: the service account's ("account") or the impersonated mailbox's ("mailbox").
    """

    def __init__(
        self, code: str, *, status: int = 0, back_off: float | None = None, value: str = "", charged: str = "account"
    ) -> None:
        """Take fixed words and numbers only: all of it but `value` may be logged."""
        super().__init__(code)
        self.code = code
        self.status = status
        self.back_off = back_off
        self.value = value
        self.charged = charged

    def again(self) -> "EwsError":
        """Return a copy: one outcome may be raised to many waiters, each with places of its own."""
        return EwsError(self.code, status=self.status, back_off=self.back_off, value=self.value, charged=self.charged)


OURS = {
    "name_unknown": "the host name cannot be resolved",
    "address_refused": "the host resolves to an address that must not be reached (loopback, link-local, metadata)",
    "unreachable": "nothing answers at the address and port",
    "timeout": "no answer, or no end of it, in time",
    "not_trusted": "the certificate is not trusted here, or for another name",
    "not_tls": "what answers does not speak TLS",
    "network": "the connection broke",
    "sign_in_refused": "HTTP 401: wrong password, locked, disabled or expired account, or a scheme not offered",
    "no_scheme": "the server offers no way to sign in that is known here",
    "forbidden": "HTTP 403: EWS is switched off for the organisation or the mailbox, or this client is filtered",
    "not_found": "HTTP 404: no EWS at this path",
    "redirected": "a redirect, which is not followed",
    "http_error": "another HTTP status without a SOAP answer in it",
    "not_xml": "not XML, or not SOAP: an HTML page, a wrong charset",
    "fault": "a SOAP fault that names no code: the operation is not known there, or the server failed",
    "malformed": "SOAP without what was asked for, or with values that make no sense",
    "truncated": "the answer ended before its end",
    "too_large": "the answer is larger than any that is asked for",
}

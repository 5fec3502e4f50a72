"""A stand-in for Microsoft: Entra sign-in and Graph, over TLS, with calendars, notifications, faults, control."""

from deploy.sandbox.faults import Fault, FaultKind, RetryForm
from deploy.sandbox.notice_faults import NoticeFault, NoticeFaultKind
from deploy.sandbox.notifications import MISSED, REAUTHORIZE, REMOVED
from deploy.sandbox.options import SandboxOptions
from deploy.sandbox.server import Sandbox, start

__all__ = [
    "MISSED",
    "REAUTHORIZE",
    "REMOVED",
    "Fault",
    "FaultKind",
    "NoticeFault",
    "NoticeFaultKind",
    "RetryForm",
    "Sandbox",
    "SandboxOptions",
    "start",
]

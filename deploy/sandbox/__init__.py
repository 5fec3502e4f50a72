"""A stand-in for Microsoft: Entra sign-in and Graph, over TLS, with calendars, faults and a control API."""

from deploy.sandbox.faults import Fault, FaultKind, RetryForm
from deploy.sandbox.options import SandboxOptions
from deploy.sandbox.server import Sandbox, start

__all__ = ["Fault", "FaultKind", "RetryForm", "Sandbox", "SandboxOptions", "start"]

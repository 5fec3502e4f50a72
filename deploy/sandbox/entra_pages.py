"""The pages that Entra shows to people: who signs in, whether they consent, and that they may not. Plain HTML."""

from collections.abc import Iterable
from html import escape

from deploy.sandbox.answers import Answer, Ask
from deploy.sandbox.personas import Persona

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}"
    "body{color:#111;background:#fff}"
    "button,label{display:block;box-sizing:border-box;width:100%;margin:.4rem 0;padding:.6rem .8rem;font:inherit;"
    "text-align:left}button{border:1px solid #767676;border-radius:4px;background:#fff;color:#111}"
    "fieldset{border:0;padding:0;margin:1rem 0}"
)


def choose(ask: Ask, app: str, people: Iterable[Persona]) -> Answer:
    """Ask who signs in: a button for each."""
    buttons = "".join(
        f'<button name="persona" value="{escape(one.oid)}">{escape(_called(one))}<br><small>{escape(one.upn)}</small>'
        "</button>"
        for one in people
    )
    cancel = '<button name="cancel" value="true">Cancel</button>'
    return _page("Pick an account", f"<p>to continue to {escape(app)}</p>{_form(ask, buttons + cancel)}")


def consent(ask: Ask, app: str, roles: Iterable[str], people: Iterable[Persona], *, chosen: str) -> Answer:
    """Ask whether somebody consents for their organisation: who, and yes or no."""
    wanted = "".join(f"<li>{escape(role)}</li>" for role in sorted(roles))
    choices = "".join(
        f'<label><input type="radio" name="persona" value="{escape(one.oid)}"{" checked" if one.oid == chosen else ""}>'
        f" {escape(_called(one))}</label>"
        for one in people
    )
    answers = '<button name="answer" value="accept">Accept</button><button name="answer" value="cancel">Cancel</button>'
    form = _form(ask, f"<fieldset><legend>Signed in as</legend>{choices}</fieldset>{answers}")
    return _page("Permissions requested", f"<p>{escape(app)} would like to:</p><ul>{wanted}</ul>{form}")


def approval(ask: Ask, app: str) -> Answer:
    """Tell somebody who may not consent; they can only go back without."""
    back = '<button name="answer" value="cancel">Return to the application without granting consent</button>'
    text = f"<p>{escape(app)} needs permissions that only an administrator can grant.</p>"
    return _page("Need admin approval", text + _form(ask, back), status=403)


def _called(persona: Persona) -> str:
    return f"{persona.title} of {persona.upn.partition('@')[2]}"


def _form(ask: Ask, inside: str) -> str:
    return f'<form method="post" action="{escape(f"{ask.path}?{ask.query}")}">{inside}</form>'


def _page(title: str, inside: str, *, status: int = 200) -> Answer:
    text = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} (sandbox)</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        "<body><main><p>Microsoft's stand-in. Nobody real signs in here.</p>"
        f"<h1>{escape(title)}</h1>{inside}</main></body></html>"
    )
    return Answer(status=status, body=text.encode(), content_type="text/html; charset=utf-8")

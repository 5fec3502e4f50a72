"""Finds in bytes what must have vanished: an org's id, addresses, ids, canaries, in the forms they may be written in.

Pure. It says what sort of thing was found, never the text around it, and refuses to look for an empty text.
"""

import base64
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from mmap import mmap
from typing import Final
from urllib.parse import quote

from msgspec import Struct

KEY: Final = 8  # bytes by which many texts are looked up at once
FEW: Final = 64  # forms that are quicker looked for one by one
PIECE: Final = 1 << 22  # bytes of a long whole that are looked at together
_WORD: Final = "[A-Za-z0-9_-]"
_OWN: Final = "(?:-[0-9a-f]{8})?"  # what the name of an org's credential adds to its id


class Wanted(Struct, frozen=True):
    """A text that must not be there, and what sort of text it is: an address, a canary, and so on."""

    kind: str
    text: str


class Matcher:
    """Looks for all that is wanted of one org at once."""

    def __init__(self, org_id: str, wanted: Iterable[Wanted]) -> None:
        """Take the org's id ("" to leave it out) and the texts. Raises ValueError for an empty text."""
        folded: dict[bytes, Wanted] = {}
        exact: dict[bytes, Wanted] = {}
        for each in wanted:
            if not each.text.strip():
                raise ValueError("an empty text is everywhere")
            folded |= dict.fromkeys(folded_forms(each.text), each)
            exact |= dict.fromkeys(exact_forms(each.text), each)
        self._folded = _Finder(folded)
        self._exact = _Finder(exact)
        self._org = _org(org_id) if org_id else ()
        self._longest = max(map(len, [*folded, *exact]), default=0)

    def found(self, data: bytes | mmap) -> dict[str, int]:
        """Return how many different wanted texts of each kind stand in the data, upper and lower case alike.

        The org's id counts only as a whole word in its own case: `acme` is neither `acme2` nor `Acme`.
        """
        kinds: dict[str, int] = defaultdict(int)
        if self._longest:
            pieces = (data[start : start + PIECE + self._longest] for start in range(0, len(data), PIECE))
            for wanted in set[Wanted]().union(*map(self._texts, pieces)):
                kinds[wanted.kind] += 1
        if any(pattern.search(data) for pattern in self._org):
            kinds["org"] = 1
        return dict(sorted(kinds.items()))

    def _texts(self, piece: bytes) -> set[Wanted]:
        return self._folded.found(piece.lower()) | self._exact.found(piece)


class _Finder:
    """Many byte strings looked for at once: by their first bytes, or one by one where they are few or short."""

    def __init__(self, forms: dict[bytes, Wanted]) -> None:
        few = len(forms) <= FEW
        self._single = {form: wanted for form, wanted in forms.items() if few or len(form) < KEY}
        self._many: dict[bytes, list[tuple[bytes, Wanted]]] = defaultdict(list)
        for form, wanted in forms.items():
            if form not in self._single:
                self._many[form[:KEY]].append((form, wanted))

    def found(self, data: bytes) -> set[Wanted]:
        hits = {wanted for form, wanted in self._single.items() if form in data}
        if self._many:
            hits.update(self._slid(data))
        return hits

    def _slid(self, data: bytes) -> Iterator[Wanted]:
        many = self._many
        for at in range(len(data) - KEY + 1):
            key = data[at : at + KEY]
            if key in many:
                yield from (wanted for form, wanted in many[key] if data.startswith(form, at))


def folded_forms(text: str) -> set[bytes]:
    """Return a text in UTF-8, UTF-16, escaped for JSON and for URLs; all in lower case, for case does not count."""
    forms = set()
    for written in {text, text.lower(), text.upper(), text.casefold()}:
        escaped = (json.dumps(written)[1:-1], json.dumps(written, ensure_ascii=False)[1:-1])
        plain = (written, *escaped, *(part.replace("/", "\\/") for part in escaped), quote(written, safe=""))
        forms |= {part.encode(errors="surrogatepass").lower() for part in plain}
        forms |= {written.encode(code, errors="surrogatepass").lower() for code in ("utf-16-le", "utf-16-be")}
    return forms


def exact_forms(text: str) -> set[bytes]:
    """Return what a text becomes in base64, wherever in a longer whole it stands; nothing for a text too short for it.

    At each of the three places that a byte can have in a group, the characters that its neighbours share are left off.
    """
    forms = set()
    for raw in {text.encode(errors="surrogatepass"), text.lower().encode(errors="surrogatepass")}:
        if len(raw) < KEY:
            continue
        for before in range(3):
            whole = base64.b64encode(b"\0" * before + raw)
            inner = whole[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
            forms |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms


def _org(org_id: str) -> tuple[re.Pattern[bytes], ...]:
    """Return expressions for the org's id as a whole word, alone or as the beginning of its credential's name."""
    one = f"(?<!{_WORD}){re.escape(org_id)}{_OWN}(?!{_WORD})"
    wide = "".join(f"{re.escape(character)}\\x00" for character in org_id)
    return re.compile(one.encode()), re.compile(f"(?<!{_WORD}\\x00){wide}(?!{_WORD}\\x00)".encode())

"""Reads a stream of Server-Sent Events (WHATWG HTML, 9.2) from bytes, wherever they are cut.

It refuses a frame that does not end, and keeps no more of one than its limit.
"""

from msgspec import Struct

from shared.client.errors import Unreadable

LARGEST = 32 << 20  # bytes of one frame


class Frame(Struct, frozen=True, kw_only=True):
    """One event of the stream; `id` is the last one given, by this frame or one before."""

    event: str = "message"
    data: bytes = b""
    id: str = ""


class Frames:
    """A stream's bytes so far that are no whole frame yet."""

    def __init__(self) -> None:
        self._rest = b""
        self._ends_in_cr = False
        self._event, self._id = b"", b""
        self._data: list[bytes] = []
        self._size = 0
        self._any = False

    def feed(self, chunk: bytes) -> list[Frame]:
        """Return the frames that these bytes complete. Raises Unreadable beyond the limit."""
        if self._ends_in_cr and chunk:  # the second half of a line's end: \r\n is one
            chunk, self._ends_in_cr = chunk.removeprefix(b"\n"), False
        self._ends_in_cr = self._ends_in_cr or chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._rest = (self._rest + chunk).split(b"\n") if b"\n" in chunk else [self._rest + chunk]
        found = [frame for line in lines if (frame := self._line(line)) is not None]
        if len(self._rest) + self._size > LARGEST:
            raise Unreadable("frame_too_large")
        return found

    def _line(self, line: bytes) -> Frame | None:
        if not line:
            return self._dispatched()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._data.append(value)
                self._size += len(value)
                self._any = True
            case b"event":
                self._event = value
            case b"id" if b"\0" not in value:
                self._id = value
                self._any = True
        return None

    def _dispatched(self) -> Frame | None:
        """End a frame. Unlike a browser's, one without data counts where it moves the id on."""
        data, event, some = b"\n".join(self._data), self._event, self._any
        self._data, self._event, self._size, self._any = [], b"", 0, False
        if not some:
            return None
        return Frame(event=event.decode(errors="replace") or "message", data=data, id=self._id.decode(errors="replace"))

"""How whoever writes the update log wakes those who follow it in the same process; each has a bell of its own."""

import asyncio


class Bell:
    """One follower's bell; `hurry` where someone waits for what was written."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.hurried = asyncio.Event()

    def ring(self, *, hurry: bool = False) -> None:
        """Wake the follower."""
        self.woken.set()
        if hurry:
            self.hurried.set()

    def hush(self) -> None:
        """Begin to listen anew."""
        self.woken.clear()
        self.hurried.clear()


class Bells:
    """Every follower's bell, rung together."""

    def __init__(self, *bells: Bell) -> None:
        """Take the bells."""
        self._bells = bells

    def ring(self, *, hurry: bool = False) -> None:
        """Wake every follower."""
        for bell in self._bells:
            bell.ring(hurry=hurry)

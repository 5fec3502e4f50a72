"""Templates compiled once a worker: every test that opens the setup page makes an environment of its own."""

from typing import Any

import pytest
from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket


class Compiled(BytecodeCache):
    """Keeps compiled templates in memory; jinja2 itself sees that one is of the present source."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._held:
            bucket.bytecode_from_string(self._held[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._held[bucket.key] = bucket.bytecode_to_string()


def compile_once(patch: pytest.MonkeyPatch) -> None:
    """Let every environment share what is compiled."""
    make, compiled = Environment.__init__, Compiled()

    def made(self: Environment, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **{"bytecode_cache": compiled, **named})

    patch.setattr(Environment, "__init__", made)

"""Records the schema of every message, on purpose: `python -m tests.contracts.record`.

A body once recorded is never rewritten: it stands for what is still waiting in somebody's queue. New messages get one
from `bodies`, which must be extended first.
"""

import sys
from pathlib import Path

import msgspec

from tests.contracts.bodies import BODIES
from tests.contracts.contracts import everything, schema_text

FOLDER = Path(__file__).parent / "recorded"


def main() -> int:
    """Write every schema, and the bodies that are missing."""
    FOLDER.mkdir(exist_ok=True)
    for name, kind in everything().items():
        (FOLDER / f"{name}.schema.json").write_text(schema_text(kind), encoding="utf-8")
        body = FOLDER / f"{name}.body.json"
        if not body.exists():
            text = msgspec.json.format(msgspec.json.encode(BODIES[name]), indent=2).decode()
            body.write_text(text + "\n", encoding="utf-8")
    print(f"recorded {len(everything())} messages in {FOLDER.name}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())

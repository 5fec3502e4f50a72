"""`make check`: format, lint, types, import rules, deployment files, documents and generated pages; all steps run."""

import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
STEPS = {
    "format": [BIN / "ruff", "format", "--check", "."],
    "lint": [BIN / "ruff", "check", "."],
    "types": [BIN / "mypy"],
    "imports": [BIN / "lint-imports", "--no-cache"],
    "compose": [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml"],
    "image": [BIN / "hadolint", "deploy/Dockerfile"],
    "documents": [sys.executable, "-m", "tests.documents"],
    "pages": [sys.executable, "-m", "deploy.pages", "--check"],
}


def main() -> int:
    """Return 0 where every step passed."""
    failed = []
    for name, command in STEPS.items():
        print(f"--- {name}", flush=True)
        if subprocess.run([str(part) for part in command], check=False).returncode != 0:
            failed.append(name)
    print(f"check: {'failed: ' + ', '.join(failed) if failed else 'all steps passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

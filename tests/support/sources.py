"""The sources of the project, by the names under which modules are imported."""

from pathlib import Path

import simbg

ROOT = Path(simbg.__file__).resolve().parents[1]


def read_sources():
    """Text of each module; a package is named as it is imported."""
    texts = {}
    for folder, package in ((ROOT / "simbg", "simbg"), (ROOT / "validation", "simbg.validation")):
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            texts[".".join((package, *parts))] = path.read_text(encoding="utf-8")
    return texts

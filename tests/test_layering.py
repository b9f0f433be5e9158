"""Who may import whom: the arrows of DESIGN.md, held by a look at the sources."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import simbg

ROOT = Path(simbg.__file__).resolve().parents[1]
TRUTH = {"simbg.truth", "simbg.scenarios", "simbg.simulate", "simbg.rings"}
TRUTH |= {"simbg.fixtures", "simbg.fixtures_readme", "simbg.fixtures_small"}
# What makes figures and pages of results, and simulates nothing.
REPORTS = {
    f"validation.{name}"
    for name in (
        *("report", "rendering", "suite", "summary", "junit", "plots", "suite_plots"),
        *("drawing", "maps", "spectra", "distributions", "plot_cube", "compare_page"),
    )
}


def read_sources():
    """Text of each module of both packages; a package is named as it is imported."""
    texts = {}
    for path in [p for package in ("simbg", "validation") for p in (ROOT / package).rglob("*.py")]:
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        texts[name] = path.read_text(encoding="utf-8")
    return texts


def imports_of(name, sources):
    """(module of ours, function in which it is imported or None) for each import of a module."""
    return parsed(name, sources[name], frozenset(sources))


@cache
def parsed(name, text, modules):
    """As `imports_of`; a text is parsed once."""
    is_package = any(other.startswith(name + ".") for other in modules)
    found = set()

    def add(target, inside):
        # What is imported from a package may be a module, or a name in the package.
        while target and target not in modules:
            target = target.rpartition(".")[0]
        if target:
            found.add((target, inside))

    def walk(node, inside):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    add(alias.name, inside)
            elif isinstance(child, ast.ImportFrom):
                parts = name.split(".")
                up = parts[: len(parts) - child.level + is_package] if child.level else []
                base = ".".join([*up, *([child.module] if child.module else [])])
                for alias in child.names:
                    add(f"{base}.{alias.name}", inside)
            elif isinstance(child, ast.Call) and getattr(
                child.func, "attr", getattr(child.func, "id", "")
            ) in ("import_module", "__import__"):
                for argument in child.args[:1]:
                    add(str(getattr(argument, "value", "")), inside)
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            walk(child, child.name if function and inside is None else inside)

    walk(ast.parse(text), None)
    return found


def direct(name, sources):
    return {target for target, _ in imports_of(name, sources)} - {name}


def reached(name, sources):
    """Modules that an import of this one may load, now or later; packages above them, too."""
    todo, seen = [name], set()
    while todo:
        for target in direct(todo.pop(), sources):
            parts = target.split(".")
            for one in {".".join(parts[:n]) for n in range(1, len(parts) + 1)} - seen:
                seen.add(one)
                todo.append(one)
    return seen


def violations(sources):
    """What breaks a rule, a line each."""
    broken = []

    def forbid(name, found, forbidden):
        bad = sorted(
            t
            for t in found
            if any(t == f or t.startswith(f + ".") for f in forbidden) and t != name
        )
        broken.extend(f"{name} → {target}" for target in bad)

    # `simbg` itself is its version.
    allowed = {"simbg.axes": set(), "simbg.cube": {"simbg.axes"}}
    for name, may in allowed.items():
        broken.extend(f"{name} → {t}" for t in sorted(direct(name, sources) - may - {"simbg"}))
    for name in sources:
        every, ours = reached(name, sources), direct(name, sources)
        if name in ("simbg.truth", "simbg.observations"):
            forbid(name, every, {"simbg.simulate", "simbg.reconstruct"})
        if name.startswith("simbg.reconstruct"):
            forbid(name, every, {*TRUTH, "validation"})
        if name in ("validation.metrics", "validation.statistics"):
            forbid(name, every, {*TRUTH, "simbg.reconstruct"})
        if name in REPORTS:
            forbid(name, ours, {"simbg.simulate"})
        if name.startswith("simbg"):
            for target, inside in imports_of(name, sources):
                lazily = name == "simbg.cli" and inside in (
                    "challenge",
                    "compare",
                    "plot",
                    "resolve_command",
                )
                if target.startswith("validation") and not lazily:
                    broken.append(f"{name} → {target} ({inside or 'on import'})")
    return broken


@pytest.fixture(scope="module")
def sources():
    texts = read_sources()
    assert {"simbg", "simbg.axes", "simbg.reconstruct.histogram", "validation.run"} <= set(texts)
    assert set(texts) >= REPORTS
    return texts


def test_nobody_imports_what_he_may_not(sources):
    assert violations(sources) == []


@pytest.mark.parametrize(
    ("module", "line", "found"),
    [
        ("simbg.axes", "from simbg.fov import Site", "simbg.axes → simbg.fov"),
        ("simbg.cube", "import simbg.truth", "simbg.cube → simbg.truth"),
        ("simbg.truth", "from simbg import simulate", "simbg.truth → simbg.simulate"),
        ("simbg.observations", "from .reconstruct import Default", "→ simbg.reconstruct"),
        # By a way round, and inside of a function.
        (
            "simbg.exposure",
            "def f():\n    from simbg.truth import GaussianTruth",
            "simbg.reconstruct.histogram → simbg.truth",
        ),
        (
            "simbg.reconstruct.histogram",
            "from ..scenarios import SCENARIOS",
            "simbg.reconstruct.histogram → simbg.scenarios",
        ),
        (
            "simbg.reconstruct.edition2015",
            "import importlib\nimportlib.import_module('simbg.truth')",
            "simbg.reconstruct.edition2015 → simbg.truth",
        ),
        ("simbg.exposure", "import validation.metrics", "→ validation.metrics (on import)"),
        ("simbg.cli", "from validation import run", "simbg.cli → validation.run (on import)"),
        (
            "simbg.cli",
            "def truth():\n    from validation.run import run_suite",
            "simbg.cli → validation.run (truth)",
        ),
        ("validation.metrics", "from simbg.fixtures import EDITIONS", "→ simbg.truth"),
        ("validation.statistics", "import simbg.reconstruct.histogram", "→ simbg.reconstruct"),
        ("validation.plots", "from simbg.simulate import observe", "→ simbg.simulate"),
        ("validation.spectra", "import simbg.simulate", "→ simbg.simulate"),
    ],
)
def test_control_a_violation_is_found(sources, module, line, found):
    changed = sources | {module: sources[module] + "\n" + line + "\n"}
    assert any(found in violation for violation in violations(changed))


def test_allowed_imports_are_seen(sources):
    """The checker sees what is there: it does not pass for blindness."""
    assert "simbg.cube" in direct("simbg.reconstruct.histogram", sources)
    assert "simbg.fov" in reached("simbg.reconstruct", sources)
    assert ("validation.comparison", "compare") in imports_of("simbg.cli", sources)
    assert "simbg.simulate" in reached("validation.run", sources)
    assert "simbg.truth" in reached("simbg.scenarios", sources)


@pytest.mark.parametrize("module", ["simbg", "simbg.cli"])
def test_command_line_starts_light(module):
    """Nothing heavy is loaded before a command needs it: --help takes a tenth of a second."""
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert module in loaded
    assert not loaded & {"matplotlib", "gammapy", "scipy.stats", "astropy", "validation"}


def test_rebuilding_loads_neither_figures_nor_truth():
    """Nor does it know of truth."""
    code = "import sys, simbg.pipeline; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "simbg.pipeline" in loaded
    assert not loaded & {"gammapy", "validation", "simbg.truth", "matplotlib.pyplot"}

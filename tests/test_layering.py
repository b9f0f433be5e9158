"""Who may import whom: the arrows of ARCHITECTURE.md, held by a look at the sources."""

import ast
import subprocess
import sys
from functools import cache

import pytest
from support.sources import read_sources

from simbg.validation.methods.audit import knows_truth

# Packages in layers: a module imports from its own package and from layers above this line's own.
LAYERS = (
    {
        "simbg",
        *(f"simbg.{name}" for name in ("errors", "notices", "portable", "parallel", "quantities")),
    },
    {"simbg.axes", "simbg.covariance", "simbg.sky"},
    {"simbg.cube"},
    {"simbg.radial"},
    {"simbg.observations"},
    {"simbg.io", "simbg.reconstruction"},
    {"simbg.truth", "simbg.models"},
    {"simbg.simulation"},
    {"simbg.fixtures"},
    {"simbg.cli", "simbg.verbs"},
    {"simbg.validation"},
)
# What these functions load when they are called, for convenience, and no rule is about.
LAZY = {
    ("simbg.cube", "read", "simbg.io.cubes"),
    ("simbg.cube", "write", "simbg.io.cubes"),
    ("simbg.cube", "to_gammapy", "simbg.io.bkg_3d"),
    ("simbg.cube", "from_gammapy", "simbg.io.gammapy_objects"),
    ("simbg.radial", "read", "simbg.io.bkg_2d"),
    ("simbg.radial", "write", "simbg.io.bkg_2d"),
    ("simbg.radial", "to_gammapy", "simbg.io.bkg_2d"),
    ("simbg.__main__", "_door", "simbg.cli"),
    ("simbg.cli", "start", "simbg.cli.main"),
    ("simbg.cube", "plot", "simbg.validation.figures.one_cube"),
    ("simbg.verbs", "compare", "simbg.validation.comparison.compare"),
    ("simbg.verbs", "validate", "simbg.validation.methods.candidates"),
    ("simbg.verbs", "validate", "simbg.validation.suite.suite"),
}
# Of the suite: what each package may import of the others.
SUITE = (
    {"simbg.validation.impact", "simbg.validation.metrics", "simbg.validation.questions"},
    {
        "simbg.validation.comparison",
        "simbg.validation.figures",
        "simbg.validation.methods",
        "simbg.validation.cross_validation",
    },
    {"simbg.validation.conformance", "simbg.validation.self_check"},
    {"simbg.validation.suite"},
    {"simbg.validation.leaderboard", "simbg.validation.challenge"},
    {"simbg.validation.pages"},
    {"simbg.validation.commands", "simbg.validation.benchmarks"},
)
# What the reconstruction of a cube and its models never reach, by any way round.
BLIND = ("simbg.reconstruction", "simbg.models")
LIBRARY_ONLY = tuple(
    f"simbg.validation.{name}" for name in ("metrics", "questions", "figures", "pages")
)


def imports_of(name, sources):
    """(module of ours, function in which it is imported or None) for each import of a module.

    Those that only type checkers see do not count, nor those of `LAZY`.
    """
    found = parsed(name, sources[name], frozenset(sources))
    return {(target, inside) for target, inside in found if (name, inside, target) not in LAZY}


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
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
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


def is_in(module, packages):
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def layer_of(module, layers):
    """Number of the layer, and the package there, by the longest prefix."""
    fits = [
        (len(package), number, package)
        for number, layer in enumerate(layers)
        for package in layer
        if is_in(module, [package])
    ]
    return max(fits)[1:] if fits else (None, None)


def violations(sources):
    """What breaks a rule, a line each."""
    broken = []
    for name in sources:
        for target, _ in imports_of(name, sources):
            if name == target:
                continue
            for layers in (LAYERS, SUITE):
                (mine, package), (other, theirs) = layer_of(name, layers), layer_of(target, layers)
                if None not in (mine, other) and package != theirs and other >= mine:
                    broken.append(f"{name} → {target} (upwards)")
        if is_in(name, BLIND):
            broken.extend(
                f"{name} ⇝ {target}" for target in reached(name, sources) if knows_truth(target)
            )
        if is_in(name, LIBRARY_ONLY):
            broken.extend(
                f"{name} → {target} (simulates)"
                for target in direct(name, sources)
                if is_in(target, ("simbg.simulation",))
            )
        if name in reached(name, sources) and name not in ("simbg", "simbg.validation"):
            broken.append(f"{name} → ... → {name} (a cycle)")
    return sorted(set(broken))


@pytest.fixture(scope="module")
def sources():
    texts = read_sources()
    assert {"simbg", "simbg.axes", "simbg.reconstruction.histogram"} <= set(texts)
    assert any(name.startswith("simbg.validation.suite.") for name in texts)
    return texts


def test_nobody_imports_upwards(sources):
    assert violations(sources) == []


def test_every_module_has_a_layer(sources):
    doors = {"simbg.validation", "simbg.validation.__main__"}
    for name in set(sources) - doors:
        assert layer_of(name, LAYERS)[1], name
        if name.startswith("simbg.validation."):
            assert layer_of(name, SUITE)[1], name


@pytest.mark.parametrize(
    ("module", "line", "found"),
    [
        ("simbg.axes", "from simbg.sky.earth import Site", "simbg.axes → simbg.sky.earth"),
        ("simbg.cube", "import simbg.truth.gaussian", "simbg.cube → simbg.truth.gaussian"),
        ("simbg.truth.gaussian", "from simbg.simulation import schedule", "→ simbg.simulation"),
        (
            "simbg.observations.groups",
            "from ..io import safe_files",
            "→ simbg.io.safe_files (upwards)",
        ),
        # By a way round, and inside of a function.
        (
            "simbg.observations.exposure",
            "def f():\n    from simbg.truth.gaussian import GaussianTruth",
            "simbg.reconstruction.histogram ⇝ simbg.truth.gaussian",
        ),
        (
            "simbg.reconstruction.histogram",
            "from ..simulation.schedule import x",
            "simbg.reconstruction.histogram ⇝ simbg.simulation.schedule",
        ),
        (
            "simbg.reconstruction.edition2015",
            "import importlib\nimportlib.import_module('simbg.truth.gaussian')",
            "simbg.reconstruction.edition2015 ⇝ simbg.truth.gaussian",
        ),
        ("simbg.models.pipeline", "import simbg.fixtures.small_files", "simbg.models.pipeline ⇝"),
        ("simbg.cli.console", "import simbg.validation.metrics", "→ simbg.validation.metrics"),
        ("simbg.validation.metrics.fits", "import simbg.validation.suite", "(upwards)"),
        ("simbg.validation.figures.style", "from simbg.simulation import schedule", "(simulates)"),
        ("simbg.sky.vectors", "import simbg.sky.earth", "simbg.sky.vectors (a cycle)"),
        # As a lazy import that is listed, but in another function, or of another module.
        ("simbg.cube", "def f():\n    import simbg.io.cubes", "simbg.cube → simbg.io.cubes"),
        ("simbg.cube", "def plot():\n    import simbg.io.cubes", "simbg.cube → simbg.io.cubes"),
    ],
)
def test_control_a_violation_is_found(sources, module, line, found):
    changed = sources | {module: sources.get(module, "") + "\n" + line + "\n"}
    assert any(found in violation for violation in violations(changed))


def test_allowed_imports_are_seen(sources):
    """The checker sees what is there: it does not pass for blindness."""
    assert "simbg.cube" in direct("simbg.reconstruction.histogram", sources)
    assert "simbg.sky.pointing" in reached("simbg.observations.masked_exposure", sources)
    assert "simbg.io.gadf.store" in reached("simbg.models.pipeline", sources)
    assert any(knows_truth(name) for name in reached("simbg.validation.suite.suite", sources))


@pytest.mark.parametrize("module", ["simbg", "simbg.cli.main"])
def test_command_line_starts_light(module):
    """Nothing heavy is loaded before a command or a name needs it."""
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert module in loaded
    heavy = {"numpy", "scipy", "astropy", "matplotlib", "gammapy", "simbg.validation"}
    assert not loaded & heavy


def test_rebuilding_loads_neither_figures_nor_truth():
    code = "import sys, simbg.models.pipeline; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "simbg.models.pipeline" in loaded
    assert not loaded & {"gammapy", "simbg.validation", "matplotlib.pyplot"}
    assert not [name for name in loaded if knows_truth(name)]

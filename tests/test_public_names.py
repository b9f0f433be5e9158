"""What is public: a module's ``__all__`` is what other packages and tests may import of it."""

import ast
from functools import cache
from importlib import import_module

import pytest
from support.sources import ROOT, read_sources

import simbg

MOST_NAMES = 457
MOST_MODULES = 10  # in a folder, besides its __init__


def read_tests():
    tests = ROOT / "tests"
    return {str(p.relative_to(ROOT)): p.read_text(encoding="utf-8") for p in tests.rglob("*.py")}


@cache  # a control changes one text of some two hundred
def public_names(text):
    """The names in ``__all__``; None if there is none."""
    names = None
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign | ast.AugAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(target) == "__all__":
                names = (names or []) + ast.literal_eval(node.value)
    return names


@cache
def imported_names(text):
    """(module, name) of each ``from module import name`` of ours."""
    return [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "simbg"
        for alias in node.names
    ]


def foreign_private(text):
    """Attributes with a leading underscore that belong to something else than the module itself."""
    tree = ast.parse(text)
    own = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
    }
    own |= {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    own |= {ast.unparse(node.target) for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = node.attr
            if ast.unparse(node) == "os._exit":
                continue  # documented, in spite of its name
            if name.startswith("_") and not name.startswith("__") and name not in own:
                yield ast.unparse(node)


def violations(modules, tests):
    """What breaks a rule, a line each."""
    public = {name: public_names(text) for name, text in modules.items()}
    broken = [f"{name}: no __all__" for name, names in public.items() if names is None]
    for user, text in {**modules, **tests}.items():
        for module, name in imported_names(text):
            if module not in modules or f"{module}.{name}" in modules:
                continue
            of_package = user in modules and user.rpartition(".")[0] == module.rpartition(".")[0]
            if name.startswith("_") and not name.startswith("__"):
                broken.append(f"{user}: {module}.{name} is private")
            elif not of_package and name not in (public[module] or []):
                broken.append(f"{user}: {module}.{name} is not in its __all__")
    return broken


def test_only_public_names_are_imported():
    assert violations(read_sources(), read_tests()) == []


def test_private_attributes_stay_in_their_file():
    found = {name: list(foreign_private(text)) for name, text in read_sources().items()}
    assert {name: names for name, names in found.items() if names} == {}


def test_control_a_foreign_private_attribute_is_found():
    assert list(foreign_private("import x\nx._hidden()")) == ["x._hidden"]


def test_public_names_are_few_and_there():
    modules = {name: text for name, text in read_sources().items() if name != "simbg"}
    names = [(name, public) for name, text in modules.items() for public in public_names(text)]
    assert len(names) < MOST_NAMES
    for module, text in modules.items():
        tree = ast.parse(text)
        defined = {
            *(getattr(node, "name", "") for node in tree.body),
            *(n.id for n in ast.walk(tree) if isinstance(n, ast.Name)),
        }
        assert set(public_names(text)) <= defined, module


def test_the_names_of_simbg_are_those_that_type_checkers_see():
    """Each is public where it is defined, too."""
    modules = read_sources()
    seen = {
        (node.module, alias.asname)
        for node in ast.walk(ast.parse(modules["simbg"]))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("simbg.")
        for alias in node.names
    }
    for module, name in seen:
        assert name in public_names(modules[module])
        assert getattr(simbg, name) is getattr(import_module(module), name)
    assert {name for _, name in seen} | {"__version__"} == set(simbg.__all__) == set(dir(simbg))


def test_folders_are_small():
    for folder in (ROOT / "simbg", ROOT / "validation"):
        for package in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
            modules = [path for path in package.glob("*.py") if not path.name.startswith("__")]
            assert len(modules) <= MOST_MODULES, package


@pytest.mark.parametrize(
    ("user", "line", "found"),
    [
        ("simbg.cli.console", "from simbg.axes import _even", "simbg.axes._even is private"),
        ("simbg.cube", "from simbg.sky.vectors import null_vectors", "not in its __all__"),
        ("tests/test_cube.py", "from simbg.axes import CHUNK", "simbg.axes.CHUNK is not in"),
    ],
)
def test_control_a_violation_is_found(user, line, found):
    modules, tests = read_sources(), read_tests()
    changed = modules if user in modules else tests
    changed[user] += f"\n{line}\n"
    assert any(found in violation for violation in violations(modules, tests))

"""Examples run: those of docstrings, of the README and of the pages beside the code."""

import ast
import doctest
import importlib
import importlib.util
import inspect
import re
import shlex
import shutil
import types
import warnings
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from support.sources import read_sources

import simbg
from simbg.axes import edition2015_axes
from simbg.cli.edition2015 import main as make_bg_cube_models
from simbg.cli.main import main
from simbg.io.gadf.store import GadfStore
from simbg.reconstruction.contract import check_cube
from simbg.validation.metrics.metric import BUDGET
from simbg.validation.metrics.poisson import sigmas
from simbg.validation.metrics.registry import METRICS
from simbg.validation.self_check.defects import DEFECTS
from simbg.validation.self_check.detection import PROBES, self_check

# Clean runs of the self-check, and how many σ the answer to each of its questions may be off.
SIGMAS = sigmas(BUDGET / len(PROBES))
N_CLEAN = inspect.signature(self_check).parameters["n_clean"].default
ROOT = Path(simbg.__file__).resolve().parents[1]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# What a user calls has an example.
SHOWN = {
    *(
        "simbg",
        "simbg.axes",
        "simbg.cube",
        "simbg.verbs",
        "simbg.models.runs",
        "simbg.observations.observation",
        "simbg.truth.gaussian",
        "simbg.simulation.experiment",
        "simbg.simulation.scenario",
    ),
    *(
        "simbg.observations.exposure",
        "simbg.reconstruction.registry",
        "simbg.reconstruction.histogram",
        "simbg.io.cubes",
    ),
    *(f"simbg.validation.metrics.{name}" for name in ("fits", "metric", "poisson", "shapes")),
    "simbg.validation.metrics.status",
}
PAGES = [
    path.relative_to(ROOT)
    for pattern in ("*.md", ".github/*.md", "simbg/**/*.md", "validation/**/*.md")
    for path in sorted(ROOT.glob(pattern))
]
SESSIONS = re.findall(r"@nox\.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text())


def blocks_of_pages():
    """Of each kind: (page, code) of python blocks, (page, line) of shell blocks and of --help."""
    found = {"python": [], "sh": []}
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for kind, code in re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            lines = [code] if kind == "python" else code.splitlines()
            found.setdefault(kind, []).extend((str(page), line) for line in lines if line)
    for name, command in commands().items():
        for line in command.help.splitlines():
            if line.strip().startswith("simbg "):
                found["sh"].append((f"simbg {name} --help", line.strip()))
    return found


def commands(group=main.command, start=""):
    """All of ours: name → click command; of those in a group, the name of the group and theirs."""
    found = {}
    for name in group.list_commands(None):
        found[start + name] = command = group.get_command(None, name)
        if isinstance(command, click.Group):
            found |= commands(command, f"{start}{name} ")
    return found


BLOCKS = blocks_of_pages()


@cache
def site(name="build"):
    """The module that builds the site, or one beside it."""
    spec = importlib.util.spec_from_file_location(f"{name}_of_docs", ROOT / ".docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def modules_with_examples():
    found = []
    for folder, package in ((ROOT / "simbg", "simbg"), (ROOT / "validation", "simbg.validation")):
        for path in sorted(folder.rglob("*.py")):
            if ">>> " in path.read_text(encoding="utf-8"):
                parts = path.relative_to(folder).with_suffix("").parts
                parts = parts[:-1] if parts[-1] == "__init__" else parts
                found.append(".".join((package, *parts)))
    return found


def run_examples(module):
    """Number of failures and of examples, those of cached properties included."""
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    finder = doctest.DocTestFinder()
    tests = finder.find(module)
    for cls in filter(inspect.isclass, vars(module).values()):
        for name, member in vars(cls).items():  # doctest does not find cached properties
            if isinstance(member, cached_property) and cls.__module__ == module.__name__:
                tests += finder.find(member.func, f"{cls.__name__}.{name}", module)
    for test in tests:
        runner.run(test)
    return runner.summarize(verbose=False)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_of_docstrings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run_examples(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", sorted(set(simbg.__all__) - {"METHODS", "SCENARIOS", "__version__"})
)
def test_public_names_have_examples(name):
    """Of the class or function, or of one of its methods."""
    public = getattr(simbg, name)
    members = vars(public).values() if isinstance(public, type) else ()
    assert any(">>> " in (inspect.getdoc(one) or "") for one in (public, *members))


def without_examples(cls):
    """Names of the methods and properties of a class that have no example."""
    for name, member in vars(cls).items():
        inside = (getattr(member, n, None) for n in ("fget", "func", "__func__"))
        function = next(filter(None, inside), member)
        if inspect.isfunction(function) and ">>> " not in (function.__doc__ or ""):
            yield name


@pytest.mark.parametrize(
    "name", [name for name in sorted(simbg.__all__) if inspect.isclass(getattr(simbg, name))]
)
def test_public_methods_have_examples(name):
    found = [one for one in without_examples(getattr(simbg, name)) if not one.startswith("_")]
    assert set(found) <= {"from_gammapy", "to_gammapy"}  # gammapy is optional


class WithoutExamples:
    def __init__(self):
        """No example."""

    @classmethod
    def b(cls):
        """No example."""

    @property
    def c(self):
        """No example."""

    @cached_property
    def d(self):
        """No example."""

    def e(self):
        """>>> 1 + 1
        2
        """


def test_control_a_method_without_example_is_found():
    assert {"__init__", "b", "c", "d"} == set(without_examples(WithoutExamples))


def test_what_a_user_calls_has_examples():
    assert SHOWN - set(modules_with_examples()) == set()


def test_control_a_wrong_example_is_found():
    module = types.ModuleType("wrong", ">>> 1 + 1\n3\n")
    assert run_examples(module) == (1, 1)
    code = """class A:\n    @cached_property\n    def b(self):\n        '>>> 1 + 1\\n3'\n"""
    exec(code, vars(module) | {"cached_property": cached_property}, vars(module))
    assert run_examples(module) == (2, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the pages suppose: a store, and models made of it, run by run too."""
    path = tmp_path_factory.mktemp("pages")
    simulate = ["simulate", "store", "--scenario", "threshold-bin", "--runs", "2"]
    reconstruct = ["reconstruct", "store", "models", "--exclude", "none", "--per-run"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        for arguments in (simulate, reconstruct):
            assert CliRunner().invoke(main.command, arguments).exit_code == 0
    shutil.copytree(path / "models", path / "run_models")
    return path


# `nox -s docs` runs the stories, which take longer, and compares what they print with their pages.
STORIES = set(site().STORIES) - {"README.md"}
TOLD = [code for page, code in BLOCKS["python"] if page in STORIES]
# A program with arguments has a test of its own: that of CRAB.md is tests/models/test_crab.py.
SNIPPETS = [
    (page, code)
    for page, code in BLOCKS["python"]
    if page not in STORIES and "sys.argv" not in code
]


def test_one_page_has_a_program():
    assert len(BLOCKS["python"]) - len(SNIPPETS) - len(TOLD) == 1


@pytest.mark.parametrize("code", TOLD)
def test_python_of_stories_is_python(code):
    compile(code, "story", "exec")


def test_a_story_prints_what_its_page_shows(tmp_path):
    """Control: a line that is not printed, or not after the one before it, is found."""
    run = "```sh\necho 1.00 m; echo 2 m\n```\n\n```python\n# two.py\nb = 2\n```\n\n"
    page = run + "```\n1... m\n{}\n```\n"
    tell = site().run_story
    assert list(tell(page.format("2 m"), tmp_path)) == []
    assert (tmp_path / "two.py").exists()
    for wrong in ("3 m", "1.00 m", "2"):
        (found,) = tell(page.format(wrong), tmp_path)
        assert repr(wrong) in found
    with pytest.raises(RuntimeError, match="exit code 2"):
        list(tell("```sh\nexit 2\n```\n", tmp_path))


# CRAB.md has a test of its own; the other page is about a clone and these tests.
NOT_RUN = {"simbg/models/CRAB.md", ".github/CONTRIBUTING.md"}


def test_shell_lines_of_all_pages_are_run():
    """By `nox -s docs`: with a story, or as a how-to."""
    lines = {}
    for page, line in BLOCKS["sh"]:
        if "--help" not in page and (code := line.partition(" #")[0].rstrip()):
            lines.setdefault(page, []).append(code)
    howtos = site("howtos")
    assert set(lines) == set(site().STORIES) | set(howtos.PAGES) | NOT_RUN
    assert all(howtos.lines_of(page) == lines[page] for page in howtos.PAGES)


def test_a_line_that_fails_is_found(tmp_path, monkeypatch):
    """A page that writes, one line after the other; and controls."""
    howtos = site("howtos")
    monkeypatch.setattr(howtos, "ROOT", tmp_path)
    monkeypatch.setattr(howtos, "SUPPOSED", ("echo mine > there",))
    for number, (lines, wrong) in enumerate(
        {"cat there && exit 1": 0, "cat there; exit 2": 1, "rm there\ncat there; exit 3": 1}.items()
    ):
        (tmp_path / "page.md").write_text(f"```sh\n{lines}\n```\n")
        (folder := tmp_path / str(number)).mkdir()
        assert len(list(howtos.run_pages(["page.md"], folder))) == wrong


def test_the_site_has_all_pages(tmp_path):
    """Each page is in one section, also if no section names it."""
    site().write_sections(tmp_path)
    listed = "\n".join(path.read_text(encoding="utf-8") for path in tmp_path.iterdir()).splitlines()
    pages = sorted(page.removesuffix(".md") for page in site().find_pages())
    found = sorted(line for line in listed if (ROOT / f"{line}.md").is_file())
    assert sorted(["README", *found]) == pages


@pytest.mark.parametrize(("page", "code"), SNIPPETS)
def test_python_of_pages(page, code, folder, monkeypatch):
    monkeypatch.chdir(folder)
    if "gammapy" in code:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own imports
            pytest.importorskip("gammapy.irf")
    namespace = {"__name__": "__page__"}
    exec(compile(code, page, "exec"), namespace)
    if "MyMethod" in namespace:
        axes = edition2015_axes(2)
        with np.errstate(all="raise"):
            cube = namespace["MyMethod"]().reconstruct(stored_runs(folder), axes)
        assert check_cube(cube, axes).total > 0


def stored_runs(folder):
    store = GadfStore(folder / "store")
    return store.observations(store.table)


@pytest.mark.parametrize(("page", "line"), BLOCKS["sh"])
def test_commands_of_pages_are_understood(page, line):
    """They parse: command, arguments and options are there. None is run."""
    for words in commands_of(line):
        parse(words)


@pytest.mark.parametrize(
    "line", ["simbg trut out", "simbg truth out --mask", "simbg fixtures", "nox -s nothing"]
)
def test_control_a_wrong_command_is_found(line):
    (words,) = commands_of(line)
    with pytest.raises((click.UsageError, AssertionError)):
        parse(words)


def test_commands_are_taken_apart():
    found = commands_of("A=1 simbg truth a.fits && .venv/bin/nox -s tests  # simbg no")
    assert list(found) == [["simbg", "truth", "a.fits"], ["nox", "-s", "tests"]]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_options_and_files_named_in_text_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    known = [*commands().values(), main.command, make_bg_cube_models.command]
    known = {option for command in known for p in command.params for option in p.opts}
    for name, rest in re.findall(r"`(?:simbg|nox -s) ([a-z][a-z-]*)([^`]*)`", prose):
        assert name in commands() or name in SESSIONS, name
        assert {word for word in rest.split() if word.startswith("--")} <= known, rest
    for option in re.findall(r"`(--[a-z-]+)", prose):
        assert option in known, option
    for link in re.findall(r"\]\(([^)#]+)\)", prose):
        assert link.startswith("https://") or (ROOT / page).parent.joinpath(link).exists(), link


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("validation/VERDICT.md", f"plants {len(DEFECTS)} defects"),
        ("validation/VERDICT.md", f"in {N_CLEAN} clean runs"),
        (
            "validation/STATISTICS.md",
            f"these {len(PROBES)} questions ({SIGMAS:.2f} σ each",
        ),
        ("validation/STATISTICS.md", f"{N_CLEAN} clean runs follow"),
        *(("validation/STATISTICS.md", f"`{name}`") for name in METRICS),
    ],
)
def test_pages_say_what_the_code_does(page, words):
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert words in text


def commands_of(line):
    """Words of each of our commands in a line of shell, without what is set before it."""
    for part in re.split(r"&&|\|\||[|;]", line):
        words = shlex.split(part, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words and Path(words[0]).name in ("simbg", "nox", "gammapy-make-bg-cube-models"):
            yield [Path(words[0]).name, *words[1:]]


def parse(words):
    """Raises click's error if it does not understand them."""
    program, *rest = words
    if program == "nox":
        assert rest[0] == "-s"
        assert rest[1] in SESSIONS, rest
    elif program == "simbg":
        command = main.command
        while isinstance(command, click.Group):
            name, command, rest = command.resolve_command(click.Context(command), rest)
        command.make_context(name, rest)
    else:
        make_bg_cube_models.command.make_context(program, rest)


# Sections of a docstring whose entries need a description.
SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Raises")


def undescribed(text):
    """(name, entry) for each entry in these sections that no indented description follows."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            lines, section = (ast.get_docstring(node) or "").splitlines(), None
            for line, following in pairwise([*lines, ""]):
                if following.strip() and not following.strip("- "):
                    section = line
                elif section not in SECTIONS or line.startswith(" ") or not line.strip("-"):
                    continue
                elif not following.startswith("    "):
                    yield node.name, line


def unannotated(text):
    """Public functions and methods without the type of a parameter or of the result."""
    todo = list(ast.parse(text).body)
    while todo:
        node = todo.pop()
        name = getattr(node, "name", "_")
        if isinstance(node, ast.ClassDef) and not name.startswith("_"):
            todo += node.body
        elif isinstance(node, ast.FunctionDef) and not name.startswith("_"):
            arguments = ast.walk(node.args)
            names = [a.arg for a in arguments if isinstance(a, ast.arg) and not a.annotation]
            if node.returns is None or set(names) - {"self", "cls"}:
                yield name


@pytest.mark.parametrize("module", sorted(read_sources()))
def test_parameters_are_described_and_typed(module):
    text = read_sources()[module]
    assert list(undescribed(text)) == []
    assert list(unannotated(text)) == []


def test_control_a_parameter_without_description_or_type_is_found():
    section = "Parameters\n    ----------\n    x : float\n        Length, deg.\n    y : float\n"
    text = f'def f(x: float, y) -> float:\n    """Add.\n\n    {section}    """\n    return x + y\n'
    assert list(undescribed(text)) == [("f", "y : float")]
    assert list(unannotated(text)) == ["f"]
    assert list(unannotated(text.replace("y)", "y: float)"))) == []

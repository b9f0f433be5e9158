"""What is installed: the suite is there once, as simbg.validation, whichever way it was built."""

import configparser
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

import simbg
from simbg.cli.main import main

ROOT = Path(simbg.__file__).resolve().parents[1]
# Loads every module, and prints the name and the file of each of ours.
LOAD_ALL = """
import pkgutil, sys
import simbg
for module in pkgutil.walk_packages(simbg.__path__, "simbg."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
{more}
for name, module in sorted(sys.modules.items()):
    if name.partition(".")[0] in ("simbg", "validation"):
        print(name, module.__file__)
"""
# Runs the door of a checkout, and prints the modules that it loads besides simbg's.
DOOR = """
import runpy, sys
sys.argv = ["validation", "--list"]
try:
    runpy.run_module("validation", run_name="__main__")
finally:
    print(*[name for name in sys.modules if name.split(".")[0] == "validation"], file=sys.stderr)
"""


def build(kind, source, target):
    """Path of what the build backend makes of a source tree; it needs no network."""
    backend = pytest.importorskip("hatchling.build", reason="hatchling is in the group test")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(source)
        return target / getattr(backend, f"build_{kind}")(str(target))


def contents(wheel):
    """Name → bytes of each file."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def run(code, cwd, path):
    """What a process prints in which modules are found in a folder first."""
    environment = {**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(path)}
    words = [sys.executable, "-P", "-c", code]
    return subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, check=True
    )


def loaded(cwd, path, more=""):
    """True path of each file → the names by which it is loaded, once all modules are."""
    names = {}
    for line in run(LOAD_ALL.format(more=more), cwd, path).stdout.splitlines():
        name, file = line.split()
        names.setdefault(Path(file).resolve(), []).append(name)
    return names


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def test_wheel_holds_the_suite_once(wheel):
    files = contents(wheel)
    assert {name.partition("/")[0] for name in files} == {
        "simbg",
        f"simbg-{simbg.__version__}.dist-info",
    }
    for folder, prefix in ((ROOT / "simbg", "simbg"), (ROOT / "validation", "simbg/validation")):
        sources = {
            f"{prefix}/{path.relative_to(folder).as_posix()}": path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert sources.items() <= files.items()
    assert {Path(name).suffix for name in files if name.startswith("simbg/validation/")} >= {
        *(".py", ".html", ".css", ".js", ".json", ".md")
    }


def test_entry_points_lead_to_modules_of_the_wheel(wheel):
    files = contents(wheel)
    points = configparser.ConfigParser()
    points.read_string(files[f"simbg-{simbg.__version__}.dist-info/entry_points.txt"].decode())
    targets = [target for group in points.sections() for target in points[group].values()]
    assert len(targets) > 5
    for target in targets:
        module = target.partition(":")[0].replace(".", "/")
        assert {f"{module}.py", f"{module}/__init__.py"} & files.keys(), target


def test_wheel_of_the_sdist_is_the_same(wheel, tmp_path):
    with tarfile.open(build("sdist", ROOT, tmp_path)) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    assert not any(path.is_symlink() for path in source.rglob("*"))
    assert contents(build("wheel", source, tmp_path)) == contents(wheel)


def test_no_module_of_the_wheel_has_two_names(wheel, tmp_path):
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    files = loaded(tmp_path, tmp_path / "site")
    assert all(path.is_relative_to(tmp_path / "site") for path in files)
    assert [names for names in files.values() if len(names) > 1] == []


def test_editable_install_leads_to_the_checkout(tmp_path):
    files = contents(build("editable", ROOT, tmp_path))
    (path,) = (content for name, content in files.items() if ".dist-info/" not in name)
    assert path.decode().split() == [str(ROOT)]
    # Control: what is loaded under two names is found.
    files = loaded(tmp_path, ROOT, more="import validation")
    assert [names for names in files.values() if len(names) > 1] == [
        ["simbg.validation", "validation"]
    ]
    assert any(path.is_relative_to(ROOT / "validation" / "suite") for path in files)


def test_the_door_of_a_checkout(tmp_path, capsys):
    """``python -m validation`` is ``simbg validate``, and loads nothing else by that name."""
    door = run(DOOR, tmp_path, ROOT)
    with pytest.raises(SystemExit):
        main(["validate", "--list"])
    assert door.stdout == capsys.readouterr().out
    # Its package is a docstring.
    assert door.stderr.split() == ["validation"]


def test_the_citation_names_the_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.*)$", text, re.MULTILINE) == [simbg.__version__]


def test_what_workflows_and_hooks_use_is_pinned_by_commit():
    """A tag can be moved to other code, a commit cannot."""
    files = [*ROOT.glob(".github/workflows/*.yml"), ROOT / ".pre-commit-config.yaml"]
    used = [
        line
        for path in (*files, ROOT / "validation" / "GATE.md")
        for line in re.findall(r"(?:uses|rev): (.*)", path.read_text(encoding="utf-8"))
        if not line.startswith("./")
    ]
    assert len(used) > 20
    for line in used:
        assert re.search(r"(^|@)[0-9a-f]{40} # v\d", line), line

"""The documentation site: the pages that lie beside the code, their figures, and the API.

``python .docs/build.py reports/docs`` runs the programs of the stories, which draw their figures,
checks that they print what the pages show, and calls Sphinx, for which a warning is an error.
"""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Page of a story → the heading where it begins; what stands before is not run.
STORIES = {
    "README.md": "## Four steps",
    "simbg/fixtures/PAIR2015.md": "",
    "simbg/models/DR1.md": "",
    "validation/OWN_METHOD.md": "",
}
PATTERNS = ("*.md", ".github/*.md", "simbg/**/*.md", "validation/**/*.md")
# What is no page: templates of what commands write.
TEMPLATES = ("fixtures/page.md", "challenge/handout.md", "/templates/", "_template.md")
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+(?:\.\d+)?")
# Other releases of numpy or gammapy draw and fit a little differently; pages are not golden files.
CHANGE = 0.1
FIGURE = re.compile(r"^<!-- figure: (\S+) \| (.*?) -->$", re.MULTILINE | re.DOTALL)


def find_pages(root=ROOT):
    """Paths of all pages, relative to the top."""
    found = [p.relative_to(root).as_posix() for pat in PATTERNS for p in sorted(root.glob(pat))]
    return [page for page in found if not any(name in page for name in TEMPLATES)]


# Stories


def run_story(text, folder):
    """Run the blocks of a page in a folder, in their order, and yield what differs.

    A block of sh or python is run; one of python that begins with the name of a file is written to
    it. A block without a language is what the block before it prints: each of its lines is there,
    in this order. ``...`` stands for anything, and numbers may differ by `CHANGE`.
    """
    output, namespace = "", {"__name__": "__story__"}
    for kind, code in BLOCK.findall(text):
        if kind == "sh":
            output = "".join(_run_line(line, folder) for line in code.splitlines())
        elif kind == "python" and (name := re.match(r"# ([\w.]+\.py)\n", code)):
            (folder / name[1]).write_text(code, encoding="utf-8")
        elif kind == "python":
            output = _run_python(code, folder, namespace)
        elif not kind:
            yield from (
                f"got {output!r}, expected the line {line!r}" for line in _absent(code, output)
            )


def _run_line(line, folder):
    """What a line of shell prints. It may exit with 1, as a comparison does if cubes differ."""
    if line.startswith((".venv/", "git ", "python3 -m venv")):
        return ""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(folder),
        "PYTHONWARNINGS": "ignore",
    }
    words = ["bash", "-c", line]
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        raise RuntimeError(f"{line}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def _run_python(code, folder, namespace):
    output = io.StringIO()
    quiet = warnings.catch_warnings(action="ignore")
    with contextlib.chdir(folder), contextlib.redirect_stdout(output), quiet:
        exec(compile(code, "page", "exec"), namespace)
    return output.getvalue()


def _absent(shown, output):
    """Lines that are shown but not printed after the ones before them."""
    lines = iter(output.splitlines())
    for line in shown.splitlines():
        if not any(_same(line, printed) for printed in lines):
            yield line
            lines = iter(output.splitlines())


def _same(shown, printed):
    """Whether the words are the same, and the numbers except for `CHANGE`."""
    number = f"({NUMBER.pattern})"
    parts = (NUMBER.split(re.sub(r"\s+", " ", part)) for part in shown.split("..."))
    words = ".*".join(number.join(map(re.escape, part)) for part in parts)
    found = re.fullmatch(rf"\s*{words}\s*".replace(r"\ ", r"\s+"), printed)
    if not found:
        return False
    numbers = zip(NUMBER.findall(shown.replace("...", " ")), found.groups(), strict=True)
    return all(abs(float(a) - float(b)) <= CHANGE * float(a) for a, b in numbers)


# The tree that Sphinx reads


def write_page(page, source, place):
    """Write a page with the figures of its story, and copy the files that it links.

    Parameters
    ----------
    page : str
        Path relative to the top.
    source : Path
        The tree that Sphinx reads. Pages have the same path in it.
    place : Path
        The folder in which the story ran; its figures are there.
    """
    target = source / page
    target.parent.mkdir(parents=True, exist_ok=True)
    text = (ROOT / page).read_text(encoding="utf-8")
    parts = re.split(r"(^```.*?^```)", text, flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [LINK.sub(lambda link: _link(link, page, source), part) for part in parts[::2]]
    text = FIGURE.sub(lambda figure: _figure(figure, target, place), "".join(parts))
    target.write_text(text, encoding="utf-8")


def _link(link, page, source):
    """A link to a page stays; a file is copied to where it is linked; a folder is named only."""
    words, name = link[1], link[2].partition("#")[0]
    path = Path(os.path.normpath(Path(page).parent / name)) if name else Path(page)
    if name.startswith("https:") or not name or path.suffix == ".md":
        return link[0]
    if (ROOT / path).is_dir():
        return words
    (source / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / path, source / path)
    return link[0]


def _figure(figure, target, place):
    name, alt = figure[1], " ".join(figure[2].split())
    if not (place / name).exists():
        if any(place.iterdir()):
            raise FileNotFoundError(f"{place / name}: the story of this page did not draw it")
        return f"```{{note}}\nThe figure is drawn where `$GAMMAPY_DATA` is set: {alt}\n```"
    copied = target.parent / f"{target.stem}-{Path(name).name}"
    shutil.copy(place / name, copied)
    return f"```{{image}} {copied.name}\n:alt: {alt}\n```"


def write_sections(source):
    """Write the pages of the sections. What no section names is one of the how-tos."""
    sections = {path.name: path.read_text("utf-8") for path in (ROOT / ".docs").glob("*.md")}
    listed = {line for text in sections.values() for line in text.splitlines()}
    pages = [page.removesuffix(".md") for page in find_pages() if page != "README.md"]
    others = "\n".join(page for page in pages if page not in listed)
    sections["howto.md"] = sections["howto.md"].replace("\n```\n", f"\n{others}\n```\n")
    for name, text in sections.items():
        with (source / name.replace("contents", "README")).open("a", encoding="utf-8") as section:
            section.write(f"\n{text}")


def write_api(source):
    """Write a page for each package: its public names and modules."""
    folder = source / "api"
    folder.mkdir()
    packages = {"simbg": ROOT / "simbg"}
    for name, top in (("simbg", ROOT / "simbg"), ("simbg.validation", ROOT / "validation")):
        for path in sorted(top.rglob("__init__.py")):
            package = ".".join((name, *path.parent.relative_to(top).parts))
            packages[package] = path.parent
    for package, path in packages.items():
        lines = [
            package,
            "=" * len(package),
            "",
            f".. automodule:: {package}",
            "   :no-members:",
            "",
        ]
        if package == "simbg":
            lines += _public_names()
        for module in sorted(path.glob("*.py")):
            if not module.stem.startswith("__"):
                name = f"{package}.{module.stem}"
                lines += [name, "-" * len(name), "", f".. automodule:: {name}", "   :members:", ""]
        (folder / f"{package}.rst").write_text("\n".join(lines), encoding="utf-8")


def _public_names():
    """The names that ``import simbg`` offers, with links to their modules."""
    from simbg import PLACES

    rows = [
        ".. list-table:: Public names",
        "   :header-rows: 1",
        "",
        "   * - name",
        "     - module",
    ]
    for module, names in PLACES.items():
        links = ", ".join(f":py:obj:`{name} <simbg.{module}.{name}>`" for name in names)
        rows += [f"   * - {links}", f"     - :py:mod:`simbg.{module}`"]
    return [*rows, ""]


def main(out):
    """Build the site.

    Parameters
    ----------
    out : path-like
        The folder of the site; it is replaced.

    Returns
    -------
    code : int
        0, or 1 if a page is wrong.
    """
    wrong = []
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "source"
        for page in find_pages():
            place = Path(temporary) / "stories" / page
            place.mkdir(parents=True)
            if page in STORIES:
                wrong += tell(page, place)
            write_page(page, source, place)
        write_sections(source)
        write_api(source)
        wrong += call_sphinx(source, Path(temporary) / "site")
        if not wrong:
            shutil.rmtree(out, ignore_errors=True)
            ignore = shutil.ignore_patterns(".doctrees")
            shutil.copytree(Path(temporary) / "site", out, ignore=ignore)
    print(*wrong, sep="\n")
    return int(bool(wrong))


def tell(page, place):
    """Run the story of a page, and return what is wrong."""
    text = (ROOT / page).read_text(encoding="utf-8")
    text = text[text.index(STORIES[page]) :]
    if "$GAMMAPY_DATA" in text and not os.environ.get("GAMMAPY_DATA"):
        print(f"{page}: not run, since $GAMMAPY_DATA is not set")
        return []
    start = time.perf_counter()
    wrong = [f"{page}: {one}" for one in run_story(text, place)]
    print(f"{page}: {time.perf_counter() - start:.0f} s", flush=True)
    return wrong


def call_sphinx(source, site):
    """Run Sphinx, and return what is wrong."""
    from sphinx.cmd.build import main as sphinx

    words = ["-q", "-W", "--keep-going", "-b", "html", "-c", str(ROOT / ".docs")]
    code = sphinx([*words, str(source), str(site)])
    return [f"sphinx: exit code {code}"] if code else []


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

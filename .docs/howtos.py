"""The shell lines of the how-to pages, run in a folder with what the pages suppose.

``python .docs/howtos.py [PAGE ...]`` runs them; ``nox -s docs`` does so before it builds the site.
It installs the example of a package, so that its environment should be one for this purpose.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The servers of the first page serve the others, too.
PAGES = (
    "simbg/parallel/CLUSTERS.md",
    "simbg/GUIDE.md",
    "simbg/models/OWN_DATA.md",
    "validation/METHODS.md",
    "validation/GATE.md",
)
# What is not run: it needs a queue, or is about the repository of a user.
NOT_RUN = ("srun ", "git ")
# Names in the pages that stand for a machine.
NAMES = {"HOST": "127.0.0.1", "//scheduler:": "//127.0.0.1:"}
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = ROOT / "tests" / "support" / "examples"
DATA = "data/hess-dl3-dr1"
# What a user of these pages has: a store, a program, files.
SUPPOSED = (
    "simbg simulate store --scenario night",
    "simbg truth true.fits.gz && cp true.fits.gz model.fits.gz && cp true.fits.gz irf_file.fits.gz",
    "gunzip irf_file.fits.gz && mkdir my_models bob",
    "mytool store my_models/night.fits",
    "pip install ./tests/support/examples/package",
    # In the place of public data, where there are none.
    f"mkdir data && simbg reconstruct store {DATA} --exclude none --per-run",
)
# mpiexec starts processes as root, and more than there are cores, only if it is told to.
MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
# Seconds that a server needs until it answers, and that a line may take.
READY, LONGEST = 5.0, 900


def lines_of(page):
    """The shell lines of a page, without comments."""
    text = "\n".join(BLOCK.findall((ROOT / page).read_text(encoding="utf-8")))
    return [line for line in re.sub(r"\s+#.*", "", text).splitlines() if line]


def run_pages(pages, folder):
    """Run all lines of pages, and yield what went wrong: an exit code other than 0 and 1."""
    programs, supposed = folder / "bin", folder / "supposed"
    programs.mkdir()
    (programs / "mytool").write_text(f'#!/bin/sh\n"{sys.executable}" {EXAMPLES}/mytool.py "$@"\n')
    (programs / "mytool").chmod(0o755)
    supposed.mkdir()
    (supposed / "tests").symlink_to(ROOT / "tests")
    shutil.copy(EXAMPLES / "my_method.py", supposed)
    (supposed / "my_sources.reg").write_text("icrs\ncircle(83.63, 22.01, 0.5)\n")
    with contextlib.ExitStack() as servers:
        for line in SUPPOSED:
            yield from _run(line, supposed, programs, servers)
        for page in pages:
            print(page)
            place = shutil.copytree(supposed, folder / page, symlinks=True)
            for line in lines_of(page):
                yield from _run(line, place, programs, servers)


def _run(line, place, programs, servers):
    """What goes wrong in a line; a server goes on until all pages have been run."""
    if line.startswith(NOT_RUN):
        print(f"  not run: {line}")
        return
    for name, machine in NAMES.items():
        line = line.replace(name, machine)
    # Each line is for a reader who has not run the others, which write the same output.
    for output in re.findall(r"simbg (?:reconstruct \S+|simulate|truth) (\S+)", line):
        shutil.rmtree(place / output, ignore_errors=True)
        (place / output).unlink(missing_ok=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), str(programs), os.environ["PATH"]])
    data = {"GAMMAPY_DATA": os.environ.get("GAMMAPY_DATA") or str(place / "data")}
    environment = {**os.environ, **MPI, **data, "PATH": path, "PYTHONPATH": str(place)}
    words = {"cwd": place, "env": environment, "text": True, "stderr": subprocess.STDOUT}
    start = time.perf_counter()
    if line.startswith("dask "):
        server = subprocess.Popen(
            ["bash", "-c", line], stdout=subprocess.DEVNULL, start_new_session=True, **words
        )
        servers.callback(_end, server)
        time.sleep(READY)
        return
    line_in_time = ["timeout", str(LONGEST), "bash", "-c", line]
    done = subprocess.run(line_in_time, stdout=subprocess.PIPE, check=False, **words)
    print(f"  {time.perf_counter() - start:5.1f} s  {line}", flush=True)
    if done.returncode not in (0, 1) or "Traceback" in done.stdout:
        yield f"{line}: exit code {done.returncode}\n{done.stdout}"


def _end(server):
    os.killpg(server.pid, signal.SIGTERM)
    server.wait()


def main(pages):
    """Run pages; 0, or 1 if a line went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        wrong = list(run_pages(pages or PAGES, Path(folder)))
    print(*wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2025.2.9"]
# ///
"""All jobs of the project: ``nox -s validate``, ``nox -s tests``, and what keeps them honest."""

import os

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"

PROJECT = nox.project.load_toml("pyproject.toml")
# Two processes share the cores; a thread pool in each would only get in their way.
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
# A process a core; nox -s tests -- -n 0 is one, for a debugger.
PARALLEL = ("-n", "auto", "--dist", "worksteal")
BASELINE = os.path.join("reports", "baseline")
# What the leaderboard ranks.
OURS = ("spline", "histogram", "default", "michi")
BACCMOD = ("baccmod-grid3d", "baccmod-radial", "baccmod-zenith")


def groups(*names):
    """The requirements of some dependency groups."""
    return [req for name in names for req in nox.project.dependency_groups(PROJECT, name)]


@nox.session(default=True)
def tests(session):
    """Run the tests, with gammapy as the independent reader."""
    session.install("-e.", *groups("test", "peers"))
    session.run("pytest", *PARALLEL, *session.posargs, env=THREADS)


@nox.session(default=True)
def validate(session):
    """Compare true and rebuilt cubes; write reports/index.html; 0 if all criteria hold."""
    session.install("-e.")
    gate = ("--baseline", BASELINE) if os.path.isdir(BASELINE) else ()
    session.run("python", "-m", "validation", *gate, *session.posargs, env=THREADS)


@nox.session(default=False)
def regenerate(session):
    """Renew golden files and baseline, and show what changed; read it before you commit it."""
    session.install("-e.", *groups("test"))
    # pytest-regressions ends with 1 whenever it renews a file.
    golden = (
        "tests/simulation/test_golden.py",
        "tests/fixtures/test_fixtures.py",
        "-k",
        "golden or known_ones",
    )
    golden += ("--force-regen", "-q", "--no-header", "--tb=line")
    session.run("pytest", *golden, env=THREADS, success_codes=[0, 1])
    session.run("python", "-m", "simbg.validation.suite.baseline", BASELINE, env=THREADS)
    session.run("python", "-m", "simbg.validation.suite.known_failures", env=THREADS)
    session.run(
        *("git", "status", "--short", "tests", BASELINE, "validation"),
        external=True,
    )


@nox.session(default=False)
def fixtures(session):
    """Write the reference fixtures, both editions: nox -s fixtures -- OUTDIR."""
    out = session.posargs[0] if session.posargs else os.path.join("reports", "fixtures")
    rest = session.posargs[1:]
    session.install("-e.")
    for edition in ("2015", "current"):
        target = os.path.join(out, edition)
        session.run("simbg", "fixtures", target, "--edition", edition, *rest, env=THREADS)


@nox.session(default=False)
def benchmark(session):
    """Print speeds, each against a plain numpy version measured in the same run.

    Time and memory of other people's methods are in the table of ``nox -s adapters``.
    """
    session.install("-e.")
    session.run("python", "-m", "simbg.validation.benchmarks.speed", *session.posargs, env=THREADS)


@nox.session(default=False)
def adapters(session):
    """Test and rank other people's methods, in reports/leaderboard: nox -s adapters -- --seed 1."""
    session.install("-e.", *groups("test", "baccmod"))
    session.run("pytest", *PARALLEL, "tests/validation/methods", env=THREADS)
    methods = [word for name in (*OURS, *BACCMOD) for word in ("--method", name)]
    out = os.path.join("reports", "leaderboard")
    how = ("--stores", "3", "--timeout", "1800", "--out", out)
    # An hour of processor time; half an hour on two cores that have nothing else to do.
    # 1: a criterion fails, and to say whose is what this is for.
    codes = [0, 1]
    session.run(
        "simbg", "leaderboard", *how, *methods, *session.posargs, env=THREADS, success_codes=codes
    )


@nox.session(default=False)
def docs(session):
    """Run the lines of all pages; build the site of pages, stories and API, reports/docs."""
    session.install("-e.", *groups("docs", "peers", "test"))
    session.run("python", os.path.join(".docs", "howtos.py"), env=THREADS)
    out = os.path.join("reports", "docs")
    session.run("python", os.path.join(".docs", "build.py"), out, env=THREADS)


@nox.session(default=True)
def lint(session):
    """Check style, formatting and types."""
    # Other releases have other rules. Types of other libraries are not used: see pyproject.toml.
    session.install("ruff==0.17.6", "mypy==2.4.1", "numpy==2.4.6")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session(default=False)
def fuzz(session):
    """Try mutated inputs of all commands for a minute: nox -s fuzz -- --seconds 600 --seed 3."""
    session.install("-e.", *groups("test"))
    session.run("python", os.path.join("tests", "fuzz.py"), *session.posargs, env=THREADS)


@nox.session(default=False)
def minimums(session):
    """Run the tests with the lowest dependencies that pyproject.toml admits."""
    lowest = [req.replace(">=", "==") for req in PROJECT["project"]["dependencies"]]
    # matplotlib 3.9 calls what pyparsing 3.3 warns of, and warnings are errors here.
    session.install("-e.", *lowest, "pyparsing<3.3", *groups("test"))
    session.run("pytest", *PARALLEL, *session.posargs, env=THREADS)


@nox.session(default=False)
def latest(session):
    """Run the tests with the newest release of everything, so without gammapy, which pins some."""
    newest = ("--upgrade", "--upgrade-strategy", "eager")
    session.install(*newest, "-e.", *groups("test"))
    session.run("pytest", *PARALLEL, *session.posargs, env=THREADS)


if __name__ == "__main__":
    nox.main()

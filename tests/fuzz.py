"""Mutated inputs of all commands: ``nox -s fuzz``, or ``python tests/fuzz.py --help``.

Each is tried in a fork of this process, with limited memory and time. A command must end with one
line on an error, without a traceback or a warning of a library. If it succeeds, its counts and
livetimes are those of a reader on astropy alone (`support.mutation_sums`), or a line tells why not.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from support.mutation_sums import store_sums
from support.mutations import mutated
from support.stores import make_store

from simbg.cli.main import main
from simbg.errors import printable
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.challenge.answers import draw_answer
from simbg.validation.challenge.sealing import make_challenge
from simbg.validation.leaderboard.baseline import Accuracies
from simbg.validation.suite.baseline import Losses
from simbg.validation.suite.results import Result

# The time of the processor counts: other processes may use it as well. And one that only waits.
PATIENCE = 120.0
SECONDS, BYTES, ADDRESSES = 20.0, 1_000_000_000, 3 << 30
# Lines on contradictions in the data; those on bins without events are of any small store.
TOLD = re.compile(r"^warning: (?!bins without)", re.MULTILINE)
BINS = ("--energy", "0.1:80:4", "--fov", "4:8")
RECONSTRUCT = ("reconstruct", "store", "out", "--method", "histogram", "--jobs", "1", *BINS)
ONE = ("--group-by", "runs:2")
RECONSTRUCT += ONE
NONE = ("--exclude", "none")


def challenge_answer(place):
    """The answer is sealed again, as its owner could have done."""
    text = (place / "c/secret/answer.json").read_bytes()
    seal = json.loads((place / "c/public/seal.json").read_text())
    seal["sha256"] = hashlib.sha256(text).hexdigest()
    (place / "c/public/seal.json").unlink()
    (place / "c/public/seal.json").write_text(json.dumps(seal))


def nothing(place):
    """Nothing to do before the command."""


SCORE = ("challenge", "score", "c", "--models", "group", "--jobs", "1")
# Input → (file that is mutated, command or function that reads it, preparation).
INPUTS = {
    "events": ("store/data/simbg_obs_000001.fits.gz", (*RECONSTRUCT, *NONE), nothing),
    "obs-index": ("store/obs-index.fits.gz", (*RECONSTRUCT, *NONE), nothing),
    "hdu-index": ("store/hdu-index.fits.gz", (*RECONSTRUCT, *NONE), nothing),
    "check": ("store/data/simbg_obs_000001.fits.gz", ("check", "store", "--jobs", "1"), nothing),
    "hess runinfo": (
        "hess/runinfo.fits",
        ("reconstruct", "hess", *RECONSTRUCT[2:], *NONE),
        nothing,
    ),
    "hess events": (
        "hess/run000000-000199/run000001/hess_events_000001.fits.gz",
        ("reconstruct", "hess", *RECONSTRUCT[2:], *NONE),
        nothing,
    ),
    "hess aeff": (
        "hess/run000000-000199/run000001/hess_aeff_2d_000001.fits.gz",
        ("reconstruct", "hess", *RECONSTRUCT[2:], *NONE),
        nothing,
    ),
    "regions": ("x.reg", (*RECONSTRUCT, *NONE, "--exclude", "x.reg"), nothing),
    "regions mask": (
        "x.reg",
        (*RECONSTRUCT, *NONE, "--exclude", "x.reg", "--sources", "mask"),
        nothing,
    ),
    "table ecsv": ("t.ecsv", (*RECONSTRUCT, *NONE, "--exclude", "t.ecsv"), nothing),
    "table fits": ("t.fits", (*RECONSTRUCT, *NONE, "--exclude", "t.fits"), nothing),
    "mask image": (
        "m.fits.gz",
        (*RECONSTRUCT, *NONE, "--exclude", "m.fits.gz", "--sources", "mask"),
        nothing,
    ),
    "obs-ids": ("ids.txt", (*RECONSTRUCT, *NONE, "--obs-ids", "ids.txt"), nothing),
    "bkg_3d": ("b3.fits.gz", ("compare", "b3.fits.gz", "whole.fits.gz"), nothing),
    "bkg_3d truth": ("b3.fits.gz", ("truth", "t.out.fits", "--from", "b3.fits.gz"), nothing),
    "bkg_2d": ("b2.fits.gz", ("compare", "b2.fits.gz", "whole.fits.gz"), nothing),
    "bkg 2015": ("table.fits.gz", ("compare", "table.fits.gz", "whole.fits.gz"), nothing),
    "like": (
        "b3.fits.gz",
        (*RECONSTRUCT[:7], "--group-by", "runs:2", *NONE, "--like", "b3.fits.gz"),
        nothing,
    ),
    "baseline losses": ("losses.jsonl", Losses.read, nothing),
    "accuracies": ("accuracies.jsonl", Accuracies.read, nothing),
    "results": ("results.jsonl", lambda place: Result.read(place / "results.jsonl"), nothing),
    "challenge seal": ("c/public/seal.json", SCORE, nothing),
    "challenge answer": ("c/secret/answer.json", SCORE, challenge_answer),
    "challenge model": ("group/field-1.fits.gz", SCORE, nothing),
}
# Commands that take long are tried less often.
WEIGHTS = {"challenge seal": 0.1, "challenge answer": 0.1, "challenge model": 0.05, "like": 0.5}


def make_inputs(folder):
    """Small inputs of all commands."""
    few = {"truth": GaussianTruth(event_rate=0.3)}
    for scheme, name in (("gadf", "store"), ("hess", "hess")):
        make_store(folder / name, scheme, n_obs=2, **few)
    (folder / "x.reg").write_text(
        "# Region file format: DS9 version 4.1\nicrs\ncircle(83.63,22.01,0.5) # text={Crab}\n"
        "ellipse(10,20,1,0.5,30)\nbox(30,-30,1d,30',0)\npolygon(1,1,2,1,2,2)\nannulus(50,5,0.2,1)\n"
    )
    row = Table.read(folder / "store/obs-index.fits.gz")[0]
    sources = Table(
        {"RA": [83.63, row["RA_PNT"]], "DEC": [22.01, row["DEC_PNT"]], "size": [0.1, 1]}
    )
    sources["name"] = ["Crab", "two"]
    sources.write(folder / "t.ecsv")
    sources.write(folder / "t.fits")
    mask = fits.PrimaryHDU(np.ones((20, 20), np.int16))
    mask.data[8:12, 8:12] = 0
    where = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 10, "CRPIX2": 10}
    where |= {"CRVAL1": row["RA_PNT"], "CRVAL2": row["DEC_PNT"], "CDELT1": -0.2, "CDELT2": 0.2}
    mask.header.update(where)
    mask.writeto(folder / "m.fits.gz")
    (folder / "ids.txt").write_text("1\n2\n")
    os.chdir(folder)
    call("truth", "b3.fits.gz", *BINS)
    call("truth", "table.fits.gz", "--format", "table", *BINS)
    shutil.copy("b3.fits.gz", "whole.fits.gz")
    from simbg.io.bkg_2d import write_bkg_2d

    write_bkg_2d("b2.fits.gz", [0.1, 1, 10], [0, 1, 2, 3], np.full((2, 3), 1e-6))
    record = {"schema": 1, "scenario": "night", "digest": "x", "method": "m"}
    lines = [json.dumps(record | {"metric": m, "losses": [0.5] * 20}) for m in ("norm", "q")]
    (folder / "losses.jsonl").write_text("\n".join(lines) + "\n")
    more = {"seed": 1, "stores": 3, "accuracy": 0.1, "error": 0.01}
    (folder / "accuracies.jsonl").write_text(json.dumps(record | more) + "\n")
    Result.write(folder / "results.jsonl", [Result("night", "x", "m", "norm", 1.0, 0.1)] * 2)
    import random

    answer = draw_answer(1, 1, random.Random(3))
    answer["fields"][0]["ontime"] = 30.0
    make_challenge(folder / "c", json.loads(json.dumps(answer)))
    (folder / "group").mkdir()
    call("truth", "group/field-1.fits.gz", "--energy", "0.1:80:12", "--fov", "4:20")


def warm_up(inputs, place):
    """Run each command once in this process, so that the forks have all modules."""
    for name, (_, command, _) in INPUTS.items():
        shutil.copytree(inputs, place)
        os.chdir(place)
        with contextlib.redirect_stdout(open("stdout", "w")):
            if not callable(command):
                call(*command)
        fault(place, name, 0, 0.0, 0)
        shutil.rmtree(place)


def call(*words):
    """A command that must succeed."""
    with contextlib.suppress(SystemExit):
        main(list(words))


def attempt(inputs, place, name, seed):
    """Mutate an input in a copy of all inputs; what was done."""
    shutil.copytree(inputs, place, copy_function=os.link)
    rng = np.random.default_rng(seed)
    path, _, prepare = INPUTS[name]
    content, kind = mutated((inputs / path).read_bytes(), path, rng)
    (place / path).unlink()
    (place / path).write_bytes(content)
    with contextlib.suppress(Exception):
        prepare(place)
    return kind


def in_fork(place, name):
    """Run the command of an input in a fork: code or signal, seconds, bytes."""
    start = time.monotonic()
    if not (pid := os.fork()):
        try:
            os.chdir(place)
            for number, stream in ((1, "stdout"), (2, "stderr")):
                os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT), number)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
            os._exit(run_input(place, name))
        finally:
            os._exit(99)
    while True:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        seconds = time.monotonic() - start
        if ended:
            busy = min(seconds, used.ru_utime + used.ru_stime)
            return os.waitstatus_to_exitcode(status), busy, used.ru_maxrss * 1024
        if seconds > PATIENCE:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def run_input(place, name):
    """The exit code of what reads an input."""
    command = INPUTS[name][1]
    warnings.simplefilter("always")
    for kind in (ResourceWarning, DeprecationWarning, PendingDeprecationWarning, ImportWarning):
        warnings.simplefilter("ignore", kind)  # as Python does
    try:
        if callable(command):
            command(place)
        else:
            main(list(command))
    except SystemExit as end:
        code = end.code or 0
    except (ValueError, OSError) as error:
        print(f"simbg: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        code = 2
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    else:
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def by_command(place, name):
    """The same by the real command, in a process of its own."""
    start, words = time.monotonic(), INPUTS[name][1]
    with open(place / "stdout", "wb") as out, open(place / "stderr", "wb") as err:
        process = subprocess.Popen(
            [os.environ.get("SIMBG", "simbg"), *words],
            cwd=place,
            stdout=out,
            stderr=err,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES)),
        )
        while True:
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            seconds = time.monotonic() - start
            if ended:
                process.returncode = os.waitstatus_to_exitcode(status)
                busy = used.ru_utime + used.ru_stime
                return process.returncode, min(seconds, busy), used.ru_maxrss * 1024
            if seconds > PATIENCE:
                process.kill()
            time.sleep(0.01)


def fault(place, name, code, seconds, memory):
    """What is wrong with the outcome of a mutation; None if nothing is."""
    out, err = (
        (place / n).read_text(errors="replace") if (place / n).is_file() else ""
        for n in ("stdout", "stderr")
    )
    if seconds > SECONDS or code == -signal.SIGKILL:
        return "hang"
    if memory > BYTES:
        return f"memory {memory / 1e6:.0f} MB"
    if "Traceback" in err or code not in (0, 1, 2):
        return f"exit {code}: {err.strip()[-300:]}"
    if "--debug shows" in err:
        return f"unexpected: {err.strip()[-300:]}"
    if re.search(r"Warning\b", err) and code != 2:
        return f"warning of a library: {err.strip()[:300]}"
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", out + err):
        return "control characters"
    if code == 2 and name != "check" and not (err.startswith("simbg: ") and err.count("\n") == 1):
        return f"not one line: {err.strip()[:300]}"
    if code == 2 and any(p.name.startswith((".simbg-", "out")) for p in place.iterdir()):
        return "something is left"
    if code == 0 and (place / "out").is_dir() and not TOLD.search(out):
        return other_sums(place, name, out)
    return None


def other_sums(place, name, out):
    """How sums of a model differ from those of a reader on astropy alone; None if they agree."""
    if name == "like":
        return None
    try:
        expected = store_sums(place / ("hess" if "hess" in name else "store"), place, name, out)
    except Exception as error:
        return f"only simbg reads it: {type(error).__name__}: {error}"[:300]
    return expected


def main_loop(arguments):
    """Try mutations until the time is over or their number is reached; print a table."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    top = Path(tempfile.mkdtemp(prefix="simbg-mutants-", dir=memory))
    (inputs := top / "inputs").mkdir()
    make_inputs(inputs)
    warm_up(inputs, top / "place")
    os.chdir(top)
    names = [n for n in INPUTS if not arguments.input or n in arguments.input]
    if arguments.command:
        names = [n for n in names if not callable(INPUTS[n][1])]
    weights = np.array([WEIGHTS.get(n, 1.0) for n in names])
    rng = np.random.default_rng(arguments.seed)
    counts, faults, longest, largest = defaultdict(Counter), [], Counter(), Counter()
    start, number = time.monotonic(), 0
    while number != arguments.number and time.monotonic() - start < arguments.seconds:
        number += 1
        name = names[rng.choice(len(names), p=weights / weights.sum())]
        seed = int(rng.integers(2**63))
        if arguments.only is not None:
            name, seed = names[0], arguments.only
        place = top / "place"
        kind = attempt(inputs, place, name, seed)
        code, seconds, memory = (by_command if arguments.command else in_fork)(place, name)
        wrong = fault(place, name, code, seconds, memory)
        told = TOLD.search((place / "stdout").read_text(errors="replace"))
        counts[name][f"exit {code}" + " told" * (code == 0 and bool(told))] += 1
        longest[name], largest[name] = max(longest[name], seconds), max(largest[name], memory)
        if wrong:
            counts[name]["faults"] += 1
            faults.append({"input": name, "seed": seed, "kind": kind, "fault": wrong})
            print(json.dumps(faults[-1]), flush=True)
        if arguments.only is not None:
            print((place / "stdout").read_text(), (place / "stderr").read_text(), place)
            return 0
        shutil.rmtree(place)
        if number % 500 == 0:
            print(
                f"{number} mutations, {len(faults)} faults, {time.monotonic() - start:.0f} s",
                flush=True,
            )
    columns = ("exit 0", "exit 0 told", "exit 1", "exit 2", "faults")
    print(f"{'input':18s}", *(f"{c:>11s}" for c in columns), "longest s", "largest MB")
    for name in names:
        print(
            f"{name:18s}",
            *(f"{counts[name][c]:11d}" for c in columns),
            f"{longest[name]:9.1f} {largest[name] / 1e6:10.0f}",
        )
    print(f"{number} mutations, {len(faults)} faults, seed {arguments.seed}")
    shutil.rmtree(top)
    return 1 if faults else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--number", type=int, default=-1, help="of mutations, at most")
    parser.add_argument("--seed", type=int, default=0, help="of all of them")
    parser.add_argument("--input", action="append", help="one of: " + ", ".join(INPUTS))
    parser.add_argument("--only", type=int, help="one mutation with this seed, and its output")
    parser.add_argument("--command", action="store_true", help="run the real command $SIMBG")
    sys.exit(main_loop(parser.parse_args()))

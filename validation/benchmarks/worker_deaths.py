"""Workers are killed at random moments: the output has the same bytes, and nothing is left.

``python -m simbg.validation.benchmarks.worker_deaths 100`` kills 100 workers of `simbg simulate`
and `simbg reconstruct`, and prints what is wrong.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import click

__all__ = []

RUNS = ("--scenario", "night", "--runs", "150", "--seed", "3")
COMMANDS = {
    "simulate": ("simulate", "{out}", *RUNS),
    "reconstruct": (
        "reconstruct",
        "{store}",
        "{out}",
        "--exclude",
        "none",
        "--method",
        "histogram",
    ),
}
# s; an orphan is a process that is still there after this time.
PATIENCE = 5.0


def _content(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def _start(command, folder, cluster):
    words = [word.format(out=folder / "out", store=folder / "store") for word in COMMANDS[command]]
    words = [sys.executable, "-m", "simbg", *words, "--cluster", cluster, "--jobs", "2"]
    null, pipe = subprocess.DEVNULL, subprocess.PIPE
    return subprocess.Popen(words, stdout=null, stderr=pipe, text=True, start_new_session=True)


def _session(number):
    """Processes of a session that run; the main process of it comes first."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
            found += [int(path.parent.name)] * (int(session) == number and state != "Z")
    return sorted(found)


def _is_worker(number, cluster):
    """Whether a process works on pieces: not the main process, nor a helper of Python."""
    with suppress(OSError):
        words = Path(f"/proc/{number}/cmdline").read_bytes()
        return b"spawn_main" in words if cluster == "dask" else b"tracker" not in words
    return False


def _kill_one(process, cluster, delay, rng):
    """Kill a worker after a delay; whether there was one."""
    time.sleep(delay)
    workers = [n for n in _session(process.pid) if n != process.pid and _is_worker(n, cluster)]
    if not workers or process.poll() is not None:
        return False
    with suppress(ProcessLookupError):
        os.kill(rng.choice(workers), signal.SIGKILL)
        return True
    return False


def _faults(process, folder, expected):
    """What is wrong after a job."""
    try:
        _, error = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return ["it hangs"]
    faults = [] if process.returncode == 0 else [f"exit code {process.returncode}: {error.strip()}"]
    end = time.monotonic() + PATIENCE
    while (left := _session(process.pid)) and time.monotonic() < end:
        time.sleep(0.1)
    faults += ["orphans"] * bool(left)
    faults += ["other bytes"] * (process.returncode == 0 and _content(folder / "out") != expected)
    return faults + [f"{path.name} is left" for path in folder.glob(".*")]


@click.command()
@click.argument("number", type=int)
@click.option("--cluster", default="local", type=click.Choice(["local", "dask"]))
@click.option("--seed", default=0)
def main(number: int, cluster: str, seed: int) -> None:
    """Kill a number of workers, each in another job."""
    rng, n_killed, n_faults = random.Random(seed), 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder, expected, seconds = Path(name), {}, {}
        for command in COMMANDS:
            start = time.monotonic()
            assert _start(command, folder, cluster).wait() == 0
            seconds[command] = time.monotonic() - start
            expected[command] = _content(folder / "out")
            os.replace(folder / "out", folder / ("store" if command == "simulate" else "models"))
        while n_killed < number:
            command = rng.choice(list(COMMANDS))
            process, delay = _start(command, folder, cluster), rng.uniform(0, seconds[command])
            n_killed += _kill_one(process, cluster, delay, rng)
            for fault in _faults(process, folder, expected[command]):
                n_faults += 1
                click.echo(f"{command}, killed after {delay:.2f} s: {fault}")
            subprocess.run(["rm", "-rf", folder / "out"], check=True)
    click.echo(f"{n_killed} workers killed, {n_faults} faults")
    sys.exit(n_faults > 0)


if __name__ == "__main__":
    main()

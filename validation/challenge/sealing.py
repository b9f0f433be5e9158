"""Sealing and revealing: the stores of a blind challenge, the sealed answer, and its check.

Truths are drawn with the entropy of the system. The public part holds the stores and the SHA-256 of
the answer; a salt in the answer prevents guessing. The answer reproduces the stores, so that it
cannot be changed later.
"""

import json
import os
import platform
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from hashlib import sha256
from pathlib import Path
from typing import Any

import astropy
import numpy as np
import scipy
from astropy.io import fits

from simbg import __version__
from simbg.axes import edition2015_axes
from simbg.errors import check_version, in_one_line
from simbg.io.cubes import write_cube
from simbg.io.files.contents import from_json, read_text
from simbg.io.files.work_places import complete, scratch_folder
from simbg.io.gadf.writer import GadfWriter
from simbg.io.safe_files import new_content, new_directory
from simbg.simulation.stores import REGIONS
from simbg.validation.challenge import scores as scoring
from simbg.validation.challenge.answers import RANGES, SCHEMA, experiments_of

__all__ = ["make_challenge", "reveal_challenge"]

OURS = (
    *(rf"public/field-\d+/(?:{name})" for name in (*GadfWriter.FILES, REGIONS)),
    r"(public|secret)/(seal|answer|scores)\.json",
    r"public/(README|scores)\.md",
    r"public/truth-field-\d+\.fits\.gz",
)
# Rounding differences between machines or versions: of doubles, of which times of 1e8 s have the
# fewest digits, and of angles near 0. A different event differs by much more.
ROUNDING = {"rtol": 1e-13, "atol": 1e-9}


def make_challenge(
    outdir: Path | str,
    answer: Mapping[str, Any],
    executor: Executor | None = None,
    overwrite: bool = False,
) -> str:
    """Write the stores and the seal of an answer, and the answer itself for its owner.

    Parameters
    ----------
    outdir : path-like
        Folder to write.
    answer : dict
        From `draw_answer`. The files are the same for any executor.
    executor : concurrent.futures.Executor, optional
        Simulates runs in parallel.
    overwrite : bool
        Whether an earlier challenge in this folder is replaced.

    Returns
    -------
    digest : str
        SHA-256 of the file of the answer.
    """
    text = json.dumps(answer, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    digest = sha256(text).hexdigest()
    with new_directory(outdir, overwrite, OURS) as folder:
        public, secret = folder / "public", folder / "secret"
        public.mkdir()
        secret.mkdir(mode=0o700)
        handle = os.open(secret / "answer.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as file:
            file.write(text)
        _simulate(public, answer, executor)
        seal = {"schema": SCHEMA, "sha256": digest, "versions": _versions()}
        (public / "seal.json").write_text(_json(seal | {"files": _digests(public)}))
        (public / "README.md").write_text(_handout(len(answer["fields"]), digest), "utf-8")
    return digest


def reveal_challenge(
    outdir: Path | str,
    models: Iterable[Path | str] = (),
    executor: Executor | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Check the answer against its seal and the stores, write the truths, and score models.

    Parameters
    ----------
    outdir : path-like
        Folder of `make_challenge`, or its public part with the answer.
    models : iterable of path-like
        A folder for each group, with the name of the group.
    executor : concurrent.futures.Executor, optional
        Runs parts in parallel.
    overwrite : bool
        Whether different files of an earlier reveal are replaced.

    Returns
    -------
    scores : dict
        The contents of scores.json: "ranking" and "scores".

    Raises
    ------
    ValueError
        If the answer is not the sealed one, or if a store does not belong to it.
    FileNotFoundError
        If there is no answer.
    FileExistsError
        If a file exists, differs and must not be replaced.
    """
    public = Path(outdir, "public") if Path(outdir, "public").is_dir() else Path(outdir)
    groups = scoring.find_groups(models)
    if public.is_dir():
        complete(public)
    text, seal = _open_seal(Path(outdir), public)
    _check_stores(public, seal)
    with scratch_folder() as temporary:
        fields = _simulate(Path(temporary), _answer(text), executor)
        _check_answer(public, seal, Path(temporary))
        truths = [_truth_file(Path(temporary), field) for field in fields]
    jobs = [(*group, field) for group in groups.items() for field in fields]
    rows = list((executor.map if executor else map)(_score, jobs))
    scores = {"ranking": scoring.ranking(rows), "scores": rows}
    contents = dict(truths) | {"answer.json": text}
    if groups:
        table = scoring.markdown(scores["ranking"], rows).encode()
        contents |= {"scores.json": _json(scores).encode(), "scores.md": table}
    _write_new(public, contents, overwrite)
    return scores


def _answer(text):
    """The answer of a text that fits the seal."""
    try:
        return from_json(text)
    except ValueError as error:
        raise ValueError(f"answer: got {in_one_line(error)}, expected JSON") from error


def _simulate(folder, answer, executor):
    """Write the stores of an answer; returns its experiments."""
    experiments = experiments_of(answer)
    for experiment in experiments:
        experiment.write(folder / experiment.scenario.name, executor=executor)
    return experiments


def _handout(n_fields, digest):
    """The README of the public part."""
    ranges = "\n".join(f"| {name} | {a:g} | {b:g} |" for name, (a, b) in RANGES.items())
    text = Path(__file__).with_name("handout.md").read_text(encoding="utf-8")
    return text.format(n=n_fields, digest=digest, ranges=ranges, **scoring.LIMITS)


def _digests(folder):
    """SHA-256 of each file of the stores."""
    files = (path for path in Path(folder).glob("field-*/**/*") if path.is_file())
    return {p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in files}


def _versions():
    ours = {"simbg": __version__, "python": platform.python_version()}
    return ours | {module.__name__: module.__version__ for module in (np, scipy, astropy)}


def _json(value):
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _open_seal(outdir, public):
    """The text of the answer, after a check against the seal, and the seal."""
    path = public / "seal.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{outdir}: not a challenge: no {path}, expected a folder of `simbg challenge make`"
        )
    try:
        seal = from_json(read_text(path))
        schema, sealed = seal["schema"], seal["sha256"]
        dict[str, str](seal["files"]), dict(seal["versions"])
    except (ValueError, KeyError, TypeError) as error:
        text = f"{path}: got an invalid seal ({error!r}), expected one of `simbg challenge make`"
        raise ValueError(text) from error
    check_version(schema, SCHEMA, path, "schema")
    paths = outdir / "secret" / "answer.json", public / "answer.json"
    answer = next((path for path in paths if path.is_file()), None)
    if answer is None:
        raise FileNotFoundError(
            f"answer: got neither {paths[0]} nor {paths[1]}, expected one of them"
        )
    content = answer.read_bytes()
    if (digest := sha256(content).hexdigest()) != sealed:
        raise ValueError(f"{answer}: got SHA-256 {digest}, expected that of the seal, {sealed}")
    return content, seal


def _check_stores(public, seal):
    """Refuse stores that are not the sealed ones."""
    existing, sealed = _digests(public), seal["files"]
    for name in sorted(existing.keys() | sealed.keys()):
        if existing.get(name) != sealed.get(name):
            raise ValueError(
                f"{public / name}: got another file or no file, expected the sealed one"
            )


def _check_answer(public, seal, remade):
    """Refuse stores that the answer does not reproduce."""
    for name, _ in sorted(_digests(remade).items() ^ seal["files"].items()):
        if not _same(public / name, remade / name):
            got = (
                f"answer: got another {name} than with the versions of the seal, {seal['versions']}"
            )
            raise ValueError(f"{got}; the versions here are {_versions()}")


def _same(a, b):
    """Whether two files differ only by rounding and by compression."""
    if not (a.is_file() and b.is_file() and a.name.endswith(".fits.gz")):
        return False
    return fits.FITSDiff(a, b, ignore_keywords=["CREATOR"], **ROUNDING).identical


def _truth_file(folder, experiment):
    path = folder / f"truth-{experiment.scenario.name}.fits.gz"
    write_cube(path, experiment.true_cube(edition2015_axes()))
    return path.name, path.read_bytes()


def _score(job):
    return scoring.score_model(*job)


def _write_new(folder, contents, overwrite):
    """Write new files, or none if an existing file must not be replaced."""
    paths = {folder / name: content for name, content in contents.items()}
    changed = [p for p in paths if not (p.is_file() and p.read_bytes() == paths[p])]
    if not overwrite and (existing := [path for path in changed if path.exists()]):
        raise FileExistsError(f"{existing[0]} exists and differs; use --overwrite to replace it")
    if changed:
        with new_content(folder) as new:
            for path in changed:
                (new / path.name).write_bytes(paths[path])

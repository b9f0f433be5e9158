"""Candidates for validation: a method, a command or finished files, as a user names them."""

import os
import shlex
import shutil
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import ClassVar

from simbg.errors import unknown_name
from simbg.io.cubes import read_model
from simbg.reconstruction.registry import METHODS, method_names
from simbg.validation.methods.isolation import (
    TIMEOUT,
    Attempt,
    check_method,
    run_command,
    run_method,
)

__all__ = ["Candidate"]


@dataclass(frozen=True)
class Candidate:
    """A candidate for validation.

    Parameters
    ----------
    name : str
        Its name in the results.
    kind : {"method", "command", "files"}
        A name that `simbg.reconstruction.registry.find_method` takes; a command that reads a
        GADF store and writes a file; a folder of finished files, ``SCENARIO.fits`` or ``.fits.gz``.
    text : str
        The template of the command, or the folder.
    timeout : float
        s, for each store.
    """

    # Name of the results of models of single runs.
    PER_RUN: ClassVar = "per-run"

    name: str
    kind: str = "method"
    text: str = ""
    timeout: float = TIMEOUT

    def __post_init__(self):
        if not (self.name and self.name.isprintable()):
            raise ValueError(f"methods: got one called {self.name!r}, expected what can be shown")
        # Results of such a name are judged with the known failures of our method.
        if self.kind != "method" and self.name in (*METHODS, self.PER_RUN):
            raise ValueError(f"methods: got {self.name!r}, which is ours, expected another name")

    @classmethod
    def of(cls, method):
        """A candidate as it is, or that of the name of a method."""
        return method if isinstance(method, cls) else cls(method)

    @classmethod
    def command(cls, template, timeout=TIMEOUT):
        """A command, called by its words up to {store} or {output}.

        It runs in a folder of its own, so words that name a file here become whole paths; a
        program without a slash is looked for as shells do.
        """
        try:
            words = shlex.split(template)
        except ValueError as error:
            raise ValueError(
                f"command: got {template!r} ({error}), expected words as a shell has them"
            ) from None
        for field in ("{store}", "{output}"):
            if not any(field in word for word in words):
                raise ValueError(f"command: got {template!r}, expected one with {field} in it")
        name = " ".join(Path(word).name for word in takewhile(lambda word: "{" not in word, words))
        if not name:
            raise ValueError(f"command: got {template!r}, expected a program before all else")
        whole = [os.path.abspath(word) if os.path.isfile(word) else word for word in words]
        if "/" not in words[0]:
            whole[0] = words[0]
        return cls(name, "command", shlex.join(whole), timeout)

    @classmethod
    def files(cls, folder):
        """A folder of finished files, called by its name."""
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"models: got {folder}, expected a folder")
        return cls(folder.resolve().name, "files", str(folder))

    @property
    def ours(self):
        """Whether it is one of our own methods, which need no process of their own."""
        return self.kind == "method" and self.name in METHODS

    def check(self, scenarios=()):
        """Refuse a method, a program or files that do not exist.

        A method that is not ours is loaded once, in a process of its own.

        Parameters
        ----------
        scenarios : sequence of Scenario
            For which a folder of files must have one.

        Raises
        ------
        ValueError, OSError
            With what does not exist.
        """
        if self.kind == "method" and not self.ours:
            if ":" not in self.name and self.name not in method_names():
                raise unknown_name("method", self.name, method_names(), ", or module:Object")
            check_method(self.name)
        elif self.kind == "command":
            program = shlex.split(self.text)[0]
            if shutil.which(program) is None:
                raise FileNotFoundError(f"command: got {program}, expected a program that exists")
        elif self.kind == "files":
            missing = [s.name for s in scenarios if self._file_of(s) is None]
            if missing:
                raise FileNotFoundError(
                    f"models: {self.text} has no {missing[0]}.fits[.gz] ({len(missing)} of "
                    f"{len(scenarios)} scenarios have no file); --scenario chooses scenarios"
                )

    def _file_of(self, scenario):
        """The finished file of a scenario, or None."""
        paths = [Path(self.text, f"{scenario.name}{end}") for end in (".fits", ".fits.gz")]
        return next((path for path in paths if path.is_file()), None)

    def rebuild(self, store, scenario, axes=None):
        """Rebuild the cube of a store, or read the finished one.

        Parameters
        ----------
        store : path-like
            A GADF store; finished files need none.
        scenario : Scenario
            Or anything with a ``name`` and excluded ``regions``.
        axes : Axes, optional
            For methods alone; default: those that the method prefers, or 2015's.

        Returns
        -------
        attempt : Attempt
        """
        if self.kind == "command":
            return run_command(self.text, store, self.timeout)
        if self.kind == "method":
            return run_method(self.name, store, axes, scenario.regions, self.timeout)
        path = self._file_of(scenario)
        if path is None:
            return Attempt(None, f"{Path(self.text, scenario.name)}.fits[.gz]: no such file")
        try:
            return Attempt(read_model(path, inside=True))
        except (ValueError, OSError) as error:
            return Attempt(None, " ".join(str(error).split()))

"""Candidates for validation: a method, a command or finished files."""

import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar, Self

from simbg.axes import Axes
from simbg.errors import unknown_name
from simbg.io.cubes import read_model
from simbg.reconstruction.registry import METHODS, method_names
from simbg.validation.methods.isolation import (
    MEMORY,
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
        "method": a name that `simbg.reconstruction.registry.find_method` takes. "command": a
        command that reads a GADF store and writes a file. "files": a folder of finished files,
        ``SCENARIO.fits`` or ``SCENARIO.fits.gz``.
    text : str
        The template of the command, or the folder.
    timeout : float
        Largest time for each store, s.
    memory : float
        Largest memory of each process, GB.

    Raises
    ------
    ValueError
        If the name is empty, not printable, or that of one of our methods.
    """

    # Name under which results of models of single runs are listed.
    PER_RUN: ClassVar[str] = "per-run"

    name: str
    kind: str = "method"
    text: str = ""
    timeout: float = TIMEOUT
    memory: float = MEMORY

    def __post_init__(self) -> None:
        if not (self.name and self.name.isprintable()):
            raise ValueError(f"methods: got the name {self.name!r}, expected printable characters")
        # A candidate with such a name would get the known failures of our method.
        if self.kind != "method" and self.name in (*METHODS, self.PER_RUN):
            raise ValueError(
                f"methods: got {self.name!r}, a method of simbg, expected another name"
            )

    @classmethod
    def of(cls, method: Self | str) -> Self:
        """A candidate from the name of a method; a candidate is returned as it is."""
        return cls(method) if isinstance(method, str) else method

    @classmethod
    def command(cls, template: str, timeout: float = TIMEOUT, memory: float = MEMORY) -> Self:
        """A candidate that runs a command.

        The command runs in a folder of its own. Words of the template that name an existing
        file become absolute paths; a program without a slash is searched in ``PATH``.

        Parameters
        ----------
        template : str
            The command, with {store} and {output}; see
            `simbg.validation.methods.isolation.run_command`.
        timeout : float
            Largest time for each store, s.
        memory : float
            Largest memory of each process, GB.

        Returns
        -------
        candidate : Candidate
            Its name is the command up to the first {store} or {output}.

        Raises
        ------
        ValueError
            If the template is not a valid shell command, has no {store} or {output}, or starts
            with a brace.
        """
        try:
            words = shlex.split(template)
        except ValueError as error:
            raise ValueError(
                f"command: got {template!r} ({error}), expected words with valid shell quotes"
            ) from None
        for field in ("{store}", "{output}"):
            if not any(field in word for word in words):
                raise ValueError(f"command: got {template!r}, expected one that contains {field}")
        name = " ".join(Path(word).name for word in takewhile(lambda word: "{" not in word, words))
        if not name:
            raise ValueError(f"command: got {template!r}, expected a program as its first word")
        whole = [os.path.abspath(word) if os.path.isfile(word) else word for word in words]
        if "/" not in words[0]:
            whole[0] = words[0]
        return cls(name, "command", shlex.join(whole), timeout, memory)

    @classmethod
    def files(cls, folder: Path | str) -> Self:
        """A candidate of finished files.

        Parameters
        ----------
        folder : path-like
            A folder with a file for each scenario.

        Returns
        -------
        candidate : Candidate
            It has the name of the folder.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"models: got {folder}, expected an existing folder")
        return cls(folder.resolve().name, "files", str(folder))

    @property
    def ours(self) -> bool:
        """Whether it is one of our own methods, which need no process of their own."""
        return self.kind == "method" and self.name in METHODS

    def check(self, scenarios: Sequence[Any] = ()) -> None:
        """Refuse a method, a program or files that do not exist.

        A method that is not ours is loaded once, in a process of its own.

        Parameters
        ----------
        scenarios : sequence of Scenario
            Scenarios that need a file, for a folder of files.

        Raises
        ------
        ValueError
            If the method does not exist or cannot be loaded.
        OSError
            If the program or a file does not exist.
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

    def reconstruct(self, store: Path | str, scenario: Any, axes: Axes | None = None) -> Attempt:
        """Reconstruct the cube of a store, or read the finished one.

        Parameters and result are those of `reconstruct_all`, for one store.
        """
        return self.reconstruct_all([store], scenario, axes)[0]

    def reconstruct_all(
        self,
        stores: Sequence[Path | str],
        scenario: Any,
        axes: Axes | None = None,
        runs_of_group: int = 0,
    ) -> list[Attempt]:
        """Reconstruct the cubes of stores of a scenario, or read the finished one.

        Parameters
        ----------
        stores : sequence of path-like
            GADF stores; finished files need none. A method reconstructs all of them in one
            process, a command each of them in a separate process.
        scenario : Scenario
            Any object with a ``name`` and excluded ``regions``.
        axes : Axes, optional
            Used for methods only. By default the axes that the method prefers, or those of 2015.
        runs_of_group : int
            See `simbg.validation.methods.isolation.run_method`.

        Returns
        -------
        attempts : list of Attempt
            One for each store, with a cube or a reason.
        """
        if self.kind == "command":
            return [run_command(self.text, store, self.timeout, self.memory) for store in stores]
        if self.kind == "method":
            options = axes, scenario.regions, self.timeout, runs_of_group, self.memory
            return run_method(self.name, stores, *options)
        return [self._finished(scenario)] * len(stores)

    def _finished(self, scenario):
        """The finished cube of a scenario."""
        path = self._file_of(scenario)
        if path is None:
            return Attempt(None, f"{Path(self.text, scenario.name)}.fits[.gz]: no such file")
        try:
            return Attempt(read_model(path, inside=True))
        except (ValueError, OSError) as error:
            return Attempt(None, " ".join(str(error).split()))

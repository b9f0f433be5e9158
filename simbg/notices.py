"""Contradictions in data that do not stop a reader: each is a `Notice`, and a report has them all.

A reader attaches notices to the events of a run. `collected` gathers them while runs are read.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Notice", "Report", "add", "collected"]

# Of each kind: whether numbers of several runs are added (sum) or the largest is shown (max), and
# the text with this number.
KINDS: dict[str, tuple[Any, str]] = {
    "base_dir": (max, "folder BASE_DIR of hdu-index does not exist; that of the index is used"),
    "no_index": (max, "obs-index does not exist; the headers of the events are used"),
    "threshold": (
        max,
        "file of the effective area does not exist; no energy threshold is known",
    ),
    "run_times": (max, "GTIs extend beyond TSTART and TSTOP by up to {:.3g} s; the GTIs are used"),
    "overlap": (max, "GTIs overlap by up to {:.3g} s; their union is used"),
    "ontime": (max, "ONTIME and the sum of the GTIs differ by up to {:.3g} s; the GTIs are used"),
    "dead_time": (max, "LIVETIME / ONTIME and DEADC differ by up to {:.3g}; LIVETIME is used"),
    "outside": (sum, "{:.0f} events are outside of all GTIs and are not used"),
    "empty": (sum, "GTIs contain {:.3g} s without any event: are times or GTIs shifted?"),
    "twice": (
        sum,
        "{:.0f} events are in the list twice (TIME, and EVENT_ID or position) and count twice",
    ),
    "altitude": (
        max,
        "ALT_PNT, AZ_PNT are up to {:.1f} deg from RA_PNT, DEC_PNT at time and site",
    ),
    "event_count": (max, "EVENT_COUNT and the number of events differ by up to {:.0f}"),
}
SHOWN = 5  # runs that a line names


@dataclass(frozen=True)
class Notice:
    """A contradiction in the data of a run.

    Parameters
    ----------
    kind : str
        A key of `KINDS`, which has the text.
    obs_id : int or None
        The run; None if it concerns the whole store.
    size : float
        The number in the text.
    livetime : float or None
        The livetime that is used for the run, s, if it is not that of its observation.
    """

    kind: str
    obs_id: int | None = None
    size: float = 0.0
    livetime: float | None = None


@dataclass
class Report:
    """Notices of several runs, and errors of runs that cannot be used.

    Parameters
    ----------
    notices : set of Notice
        The notices. One that is added twice is there once.
    errors : list of (int or None, str)
        Run and message of each error; the run is None if it concerns the whole store.

    Examples
    --------
    >>> report = Report({Notice("overlap", 1, 20.0), Notice("overlap", 2, 30.0)})
    >>> report.lines
    ['warning: GTIs overlap by up to 30 s; their union is used: 2 runs (1, 2)']
    """

    notices: set[Notice] = field(default_factory=set)
    errors: list[tuple[int | None, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.notices or self.errors)

    @property
    def findings(self) -> list[dict[str, Any]]:
        """For JSON: errors, then one entry for each kind of notice, with its runs.

        Examples
        --------
        >>> Report({Notice("overlap", 7, 20.0)}).findings[0]["obs_ids"]
        [7]
        """
        found: list[dict[str, Any]] = [
            {
                "level": "error",
                "kind": "error",
                "text": text,
                "size": None,
                "obs_ids": _known([run]),
            }
            for run, text in self.errors
        ]
        for kind, (combine, text) in KINDS.items():
            same = [notice for notice in self.notices if notice.kind == kind]
            if same:
                size = float(combine(notice.size for notice in same))
                runs = _known(notice.obs_id for notice in same)
                entry = {"level": "warning", "kind": kind, "text": text.format(size)}
                found.append(entry | {"size": size, "obs_ids": runs})
        return found

    @property
    def lines(self) -> list[str]:
        """One line for each error and each kind of notice, with the number of runs.

        Examples
        --------
        >>> Report(errors=[(3, "file.fits: no such file")]).lines
        ['error: file.fits: no such file: 1 run (3)']
        """
        return [f"{one['level']}: {one['text']}{_runs(one['obs_ids'])}" for one in self.findings]

    def livetime(self, observations: Iterable[Any]) -> float:
        """Livetime of observations, s, with the values that were used in place of theirs.

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> run = SimpleNamespace(obs_id=1, livetime=900.0)
        >>> Report({Notice("ontime", 1, 100.0, livetime=810.0)}).livetime([run])
        810.0
        """
        used = {n.obs_id: n.livetime for n in self.notices if n.livetime is not None}
        return float(sum(used.get(run.obs_id, run.livetime) for run in observations))


_REPORT: ContextVar[Report | None] = ContextVar("report", default=None)


@contextmanager
def collected() -> Iterator[Report]:
    """Collect the notices of all runs that are read.

    Yields
    ------
    Report
        It has the notices at the end. An outer `collected` gets them, too.
    """
    report = Report()
    token = _REPORT.set(report)
    try:
        yield report
    finally:
        _REPORT.reset(token)
        add(report.notices)


def add(notices: Iterable[Notice]) -> None:
    """Add notices to the report that is being collected, if there is one."""
    if (report := _REPORT.get()) is not None:
        report.notices.update(notices)


def _known(runs):
    return sorted(run for run in runs if run is not None)


def _runs(obs_ids):
    if not obs_ids:
        return ""
    names = ", ".join(map(str, obs_ids[:SHOWN])) + ", ..." * (len(obs_ids) > SHOWN)
    return f": {len(obs_ids)} run{'s' * (len(obs_ids) != 1)} ({names})"

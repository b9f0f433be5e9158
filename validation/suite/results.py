"""The result of one metric, with all that reports and the baseline need."""

import json
import math
import platform
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import astropy
import numpy as np
import scipy

from simbg import __version__
from simbg.errors import check_version, in_brief
from simbg.io.files.contents import from_json, read_text
from simbg.io.files.work_places import check_finished
from simbg.io.safe_files import finite_or_none, new_file
from simbg.validation.metrics.status import Status

__all__ = ["Result", "read_records", "versions", "write_records"]

SCHEMA = 3
# Types of the fields, which a file can have otherwise.
TEXTS = "scenario", "digest", "method", "metric", "unit", "reason", "source", "ignored"
NUMBERS = "value", "error", "ideal", "predicted", "upper", "limit", "false_alarm_rate"
TYPES: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(TEXTS, (str, "a text")),
    **dict.fromkeys(NUMBERS, ((int, float, np.number), "a number")),
    "versions": (dict, "versions by package"),
}
# Fields of earlier schemas that no longer exist.
REMOVED = ("smallest", "must_fail")


def versions() -> dict[str, str]:
    """Versions of the packages that determine a result."""
    packages = {package.__name__: package.__version__ for package in (np, scipy, astropy)}
    return {"simbg": __version__, **packages, "python": platform.python_version()}


@dataclass(frozen=True)
class Result:
    """Result of one metric of one method in one scenario.

    Parameters
    ----------
    scenario, digest : str
        Name of the scenario, and the digest of its parameters.
    method, metric, unit : str
        Names of the method and the metric, and the unit of the values.
    value, error, ideal : float
        The value, its standard error, and that of a perfect cube; NaN if there is none.
    predicted : float
        The value that the method gives for noise-free counts: its calculated bias.
    upper : float
        Upper limit of the value at a confidence of 95 %.
    limit : float
        Largest accepted deviation from the ideal value.
    false_alarm_rate : float
        Probability that the criterion fails though nothing is wrong.
    status : Status or str
        The status of the answer or criterion.
    reason : str
        Reason of the status.
    source : str
        Reference of the formula.
    seed : int
        Seed of the simulation.
    ignored : str
        The effect that the scenario lets every method ignore, so that a failure is calculated.
    schema : int
        Version of the format.
    versions : dict of str to str
        Versions of the packages.

    Raises
    ------
    ValueError
        If there is no such status, or a field has another type.
    """

    scenario: str
    digest: str
    method: str
    metric: str
    value: float = math.nan
    error: float = math.nan
    ideal: float = math.nan
    unit: str = ""
    predicted: float = math.nan
    upper: float = math.nan
    limit: float = math.nan
    false_alarm_rate: float = math.nan
    status: Status = Status.INFO
    reason: str = ""
    source: str = ""
    seed: int = 0
    ignored: str = ""
    schema: int = SCHEMA
    versions: dict[str, str] = field(default_factory=versions)

    def __post_init__(self) -> None:
        for name, (kind, expected) in TYPES.items():
            if not isinstance(value := getattr(self, name), kind) or isinstance(value, bool):
                raise ValueError(f"{name}: got {in_brief(value)}, expected {expected}")
        if self.status not in list(Status):
            raise ValueError(f"status: got {self.status!r}, expected one of {', '.join(Status)}")
        object.__setattr__(self, "status", Status(self.status))

    @staticmethod
    def write(path: Path | str, results: "Iterable[Result]") -> None:
        """Write results as JSON lines, replacing an earlier file in one step.

        Parameters
        ----------
        path : path-like
            The file.
        results : iterable of Result
            One line each.
        """
        write_records(path, map(asdict, results))

    @classmethod
    def read(cls, path: Path | str) -> list[Self]:
        """Read the results that `write` wrote.

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        results : list of Result
            In the order of the file.

        Raises
        ------
        ValueError
            If a line is not a result of this schema.
        """
        results = []
        for number, record in read_records(path, SCHEMA):
            fields: dict[str, Any] = {
                name: math.nan if value is None else value
                for name, value in record.items()
                if name not in REMOVED
            }
            try:
                results.append(cls(**fields))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {number}: {error}") from None
        return results


def write_records(path: Path | str, records: Iterable[Any]) -> None:
    """Write objects as JSON lines, replacing an earlier file in one step."""
    lines = [json.dumps(finite_or_none(record), allow_nan=False) + "\n" for record in records]
    with new_file(path, overwrite=True) as temporary:
        temporary.write_text("".join(lines))


def read_records(path: Path | str, schema: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and objects of a file of JSON lines with this schema or an earlier one."""
    check_finished(Path(path).parent)
    text = read_text(path).removesuffix("\n")
    for number, line in enumerate(text.split("\n") if text else (), 1):
        try:
            record = from_json(line)
        except ValueError:
            raise ValueError(
                f"{path}, line {number}: got {line[:40].strip()!r}, expected JSON"
            ) from None
        got = record.get("schema") if isinstance(record, dict) else None
        check_version(got, schema, f"{path}, line {number}", "schema")
        yield number, record

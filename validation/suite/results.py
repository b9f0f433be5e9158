"""The result of one metric: flat, and describing itself. Report and gate read nothing else."""

import json
import math
import platform
from dataclasses import asdict, dataclass, field

import astropy
import numpy as np
import scipy

from simbg import __version__
from simbg.errors import check_version
from simbg.io.safe_files import finite_or_none, new_file
from simbg.validation.metrics.status import Status

__all__ = ["Result", "versions"]

SCHEMA = 2


def versions():
    """Versions of what decides a result."""
    packages = {package.__name__: package.__version__ for package in (np, scipy, astropy)}
    return {"simbg": __version__, **packages, "python": platform.python_version()}


@dataclass(frozen=True)
class Result:
    """One metric of one method in one scenario.

    Parameters
    ----------
    scenario, digest : str
        And the digest of all that decides its outcome.
    method, metric, unit : str
    value, error, ideal : float
        NaN where there is none.
    predicted : float
        What the method gives from noise-free counts: its calculated bias.
    limit : float
        Largest deviation from the ideal that is accepted.
    smallest : float
        Smallest defect that is found with a power of 95 %, in the unit of the value.
    false_alarm_rate : float
    status : Status or str
    reason : str
    source : str
        Where the formula comes from.
    seed : int
    ignored : str
        What the scenario lets every method ignore, so that it fails as is calculated.
    must_fail : bool
        Whether this metric must then say so.
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
    limit: float = math.nan
    smallest: float = math.nan
    false_alarm_rate: float = math.nan
    status: Status = Status.INFO
    reason: str = ""
    source: str = ""
    seed: int = 0
    ignored: str = ""
    must_fail: bool = False
    schema: int = SCHEMA
    versions: dict = field(default_factory=versions)

    def __post_init__(self):
        if self.status not in list(Status):
            raise ValueError(f"status: got {self.status!r}, expected one of {', '.join(Status)}")
        object.__setattr__(self, "status", Status(self.status))

    @staticmethod
    def write(path, results):
        """Write results as JSON lines, replacing what was there in one step."""
        write_records(path, map(asdict, results))

    @classmethod
    def read(cls, path):
        """Read what `write` wrote: list of Result.

        Raises
        ------
        ValueError
            In one line: where the file is not of this schema, and how.
        """
        results = []
        for number, record in read_records(path, SCHEMA):
            try:
                results.append(cls(**{k: math.nan if v is None else v for k, v in record.items()}))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {number}: {error}") from None
        return results


def write_records(path, records):
    """Write objects as JSON lines, replacing what was there in one step."""
    lines = [json.dumps(finite_or_none(record), allow_nan=False) + "\n" for record in records]
    with new_file(path, overwrite=True) as temporary:
        temporary.write_text("".join(lines))


def read_records(path, schema):
    """Line numbers and objects of a file of JSON lines, each of which names its schema.

    Those of earlier schemas are read, too.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line)
            except ValueError:
                raise ValueError(
                    f"{path}, line {number}: got {line[:40].strip()!r}, expected JSON"
                ) from None
            got = record.get("schema") if isinstance(record, dict) else None
            check_version(got, schema, f"{path}, line {number}", "schema")
            yield number, record

"""Time and memory of a method, in a process of its own: ``python -m`` with a request in JSON."""

import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from simbg.axes import Axes
from simbg.observations.exposure import StackedCounts
from simbg.reconstruction.registry import find_method
from simbg.truth.gaussian import GaussianTruth
from simbg.truth.shaped import ShapedTruth

__all__ = ["method_cost"]

TRUTH = GaussianTruth(index=2.7, peak=(0.3, -0.5), zenith_slope=0.0)
# A defective part of the camera.
DEAD = ((-1.2, -0.45, 0.3, 1.1),)
LIVETIME = 1e5
# numpy and scipy start their threads at import, so the number of threads is given before.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def method_cost(
    method: str, shape: tuple[int, int, int], events: float, sharp: bool = False, repeats: int = 5
) -> tuple[float, float]:
    """Measure a method on simulated counts, on one core.

    Parameters
    ----------
    method : str
        Name of a method with ``estimate(stack)``.
    shape : tuple of int
        Number of bins in energy, fov_lon and fov_lat.
    events : float
        Expected number of events.
    sharp : bool
        Whether a part of the camera is defective.
    repeats : int
        Number of cubes, each of other counts.

    Returns
    -------
    seconds, megabytes : float
        CPU time of a cube, the median; and peak memory of the process.

    Examples
    --------
    >>> seconds, megabytes = method_cost("histogram", (2, 4, 4), 1e3, repeats=1)
    >>> seconds < 20, 20 < megabytes < 1000
    (True, True)
    """
    request = json.dumps([method, shape, events, sharp, repeats])
    words = sys.executable, "-m", __spec__.name, request
    answer = json.loads(subprocess.check_output(words, env=os.environ | ONE_THREAD))
    return answer["seconds"], answer["megabytes"]


def _measure(name, shape, events, sharp, repeats):
    lon, lat = (np.linspace(-4, 4, n + 1) for n in shape[1:])
    axes = Axes(np.geomspace(0.1, 80, shape[0] + 1), lon, lat)
    truth = ShapedTruth(TRUTH, dead=DEAD) if sharp else TRUTH
    expected = truth.integrate(axes)
    expected *= events / expected.sum()
    method: Any = find_method(name)
    livetime, seconds = np.full(axes.shape, LIVETIME), []
    for seed in range(repeats):
        counts = np.random.default_rng(seed).poisson(expected).astype(float)
        stack = StackedCounts(axes, counts, livetime, livetime, 1, int(counts.sum()), 1)
        start = time.process_time()
        method.estimate(stack)
        seconds.append(time.process_time() - start)
    print(json.dumps({"seconds": median(seconds), "megabytes": _peak_memory()}))


def _peak_memory():
    """Peak memory of this process, MB."""
    status = Path("/proc/self/status")
    if status.exists():
        # In Linux, ru_maxrss begins with that of the process that started this one.
        return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0]) / 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    _measure(*json.loads(sys.argv[1]))

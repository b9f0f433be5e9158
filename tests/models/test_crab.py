"""The script of CRAB.md: flux and index of the Crab nebula with two backgrounds."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import simbg
from simbg.models.pipeline import reconstruct_store
from simbg.models.selection import Selection

PAGE = Path(simbg.__file__).parent / "models" / "CRAB.md"
# The four runs, and others at zenith angles near theirs, so that the test takes seconds.
RUNS = (23523, 23526, 23559, 23592, 20136, 20137, 20151, 26827, 33787)


@pytest.mark.gammapy
@pytest.mark.gammapy_data
def test_models_agree_with_reflected_regions(gammapy_data, tmp_path):
    """Within one standard error: both use the same events, and differ in the background only."""
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(script.splitlines()) <= 40
    (tmp_path / "crab.py").write_text(script, encoding="utf-8")
    selection = Selection(sources="mask", obs_ids=RUNS, group_by="runs:10")
    axes = simbg.Axes.regular(energy=(0.4, 50, 10), fov=(2.5, 16))
    store = gammapy_data / "hess-dl3-dr1"
    reconstruct_store(
        store, tmp_path / "models", "gadf", "spline", selection, False, None, True, axes
    )
    words = [sys.executable, "-W", "ignore", str(tmp_path / "crab.py"), str(tmp_path / "models")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    numbers = [float(n) for n in re.findall(r"[-+]?\d[\d.]*(?:e[-+]\d+)?", done.stdout)]
    (flux, flux_error, index, index_error), ours = np.array(numbers).reshape(2, 4)
    assert abs(ours[0] - flux) < flux_error
    assert abs(ours[2] - index) < index_error
    # A fit that did not converge has no errors.
    assert 0 < flux_error < 0.2 * flux
    assert 0 < index_error < 0.3

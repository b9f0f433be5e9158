"""What tests of command lines share."""

import os
from dataclasses import replace

from simbg.simulation.library import SCENARIOS
from simbg.truth.gaussian import GaussianTruth

__all__ = ["SCENARIO", "left"]


SCENARIO = replace(SCENARIOS["night"], name="cli test", truth=GaussianTruth(event_rate=0.5))


def left():
    """What lies in the current folder."""
    return sorted(os.listdir())

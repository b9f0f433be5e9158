"""The validation suite: true against rebuilt cubes, with statistics whose false-alarm rate is known."""

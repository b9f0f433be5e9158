"""The index of a large archive: the work is proportional to the number of runs."""

import cProfile
import gzip
import pstats
import sys

import pytest

from simbg.io.gadf.store import GadfStore
from simbg.models.runs import open_store, runs_of
from simbg.models.selection import Selection
from simbg.validation.benchmarks.archive import write_archive_index


def count_of_calls(folder, n_runs):
    """Calls of functions, and files opened, while the runs of an archive are grouped."""
    folder.mkdir()
    write_archive_index(folder, n_runs)
    opened, profile = [], cProfile.Profile()

    def note(event, args):
        if event == "open" and str(args[0]).startswith(str(folder)):
            opened.append(args[0])

    sys.addaudithook(note)
    runs = profile.runcall(lambda: runs_of(open_store(folder), Selection(exclude=("none",))))
    assert len(runs.observations) == n_runs
    return pstats.Stats(profile).total_calls, len(opened)


def test_work_is_proportional_to_runs(tmp_path):
    count_of_calls(tmp_path / "loads modules", 10)
    few, n_opened = count_of_calls(tmp_path / "few", 500)
    many, same = count_of_calls(tmp_path / "many", 2500)
    assert n_opened == same == 2
    assert many / few == pytest.approx(5, rel=0.1)


def test_a_file_of_two_runs_by_way_of_a_link(tmp_path):
    write_archive_index(tmp_path, 2)
    (tmp_path / "data").mkdir()
    first, second = (tmp_path / "data" / f"simbg_obs_{i:06d}.fits.gz" for i in (1, 2))
    first.touch()
    second.symlink_to(first)
    with pytest.raises(ValueError, match="runs 1 and 2"):
        GadfStore(tmp_path).observations()


@pytest.mark.parametrize("name", ["obs-index.fits.gz", "hdu-index.fits.gz"])
def test_a_card_without_a_readable_value(tmp_path, name):
    write_archive_index(tmp_path, 2)
    content = gzip.decompress((tmp_path / name).read_bytes())
    damaged = content.replace(b"HDUCLAS1= 'INDEX   '", b"HDUCLAS1= 'INDEX    ")
    assert damaged != content
    (tmp_path / name).write_bytes(gzip.compress(damaged))
    with pytest.raises(ValueError, match=rf"{name}: .*HDUCLAS1"):
        GadfStore(tmp_path).observations()

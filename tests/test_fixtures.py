"""Reference cubes for other projects' tests, in two editions."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose

from simbg import __version__
from simbg.axes import edition2015_axes
from simbg.fixtures import EDITIONS, write_fixtures
from simbg.io.cubes import read_cube
from simbg.scenarios import SCENARIOS
from simbg.simulate import expected_stack
from validation.comparison import compare

NAMES = ["bg_cube_model_true.fits.gz", "bg_cube_model_reco.fits.gz", "README.md", "manifest.json"]
SMALL = ["bkg_2d", "bkg_3d_altaz", "bkg_3d_radec", "events", "store/hdu-index", "store/obs-index"]
SMALL += [f"store/data/simbg_obs_{obs_id:06d}" for obs_id in (1, 2, 3)]
FILES = {
    "2015": sorted(NAMES),
    "current": sorted([*NAMES, *(f"small/{name}.fits.gz" for name in SMALL)]),
}
# The plainest arithmetic there is: no vector instructions in numpy, BLAS and libm, where
# exp, log, sin and sums of products come out otherwise in their last bits.
PLAIN = {
    "OPENBLAS_CORETYPE": "Prescott",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F,-AVX512VL,-AVX512DQ",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Both editions, written once."""
    root = tmp_path_factory.mktemp("fixtures")
    for edition in EDITIONS:
        names = write_fixtures(root / edition, edition)
        assert sorted(names) == FILES[edition]
    return {edition: root / edition for edition in EDITIONS}


def names_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def read_pair(folder):
    return [read_cube(folder / name) for name in NAMES[:2]]


@pytest.mark.parametrize("edition", EDITIONS)
def test_folder_holds_what_its_manifest_says(folders, edition):
    folder = folders[edition]
    assert names_in(folder) == FILES[edition]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["edition"] == edition
    assert manifest["versions"]["simbg"] == __version__
    assert manifest["versions"]["numpy"] == np.__version__
    assert manifest["seed"] == 0
    assert sorted([*manifest["sha256"], "manifest.json"]) == FILES[edition]
    for name, digest in manifest["sha256"].items():
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    for name in NAMES[:2]:
        cube = read_cube(folder / name)
        # Sums of 72,000 doubles, through the unit TeV⁻¹ and back.
        assert manifest["sums"][name]["counts"] == pytest.approx(cube.counts.sum(), rel=1e-12)
        assert manifest["sums"][name]["rate_per_second"] == pytest.approx(cube.total, rel=1e-12)


@pytest.mark.parametrize("edition", EDITIONS)
def test_files_are_2015_tables(folders, edition):
    for name, cube in zip(NAMES, read_pair(folders[edition]), strict=False):
        assert cube.axes.same_as(edition2015_axes())
        with fits.open(folders[edition] / name) as file:
            assert [hdu.name for hdu in file[1:]] == ["COUNTS", "LIVETIME", "BACKGROUND"]
            column = file["BACKGROUND"].columns["Bgd"]
            assert column.unit == "1 / (s sr TeV)"
            assert column.format == "72000D"
            assert file["COUNTS"].header["TDIM7"].replace(" ", "") == "(60,60,20)"


@pytest.mark.gammapy_data
def test_true_cube_of_2015_is_the_published_one(folders, fixtures_2015):
    """Column by column; 1e-12 leaves room for another libm."""
    with (
        fits.open(folders["2015"] / NAMES[0]) as ours,
        fits.open(fixtures_2015 / NAMES[0]) as theirs,
    ):
        assert [hdu.name for hdu in ours] == [hdu.name for hdu in theirs]
        for a, b in zip(ours[1:], theirs[1:], strict=True):
            assert a.columns.names == b.columns.names
            # `simbg` writes the unit of counts as none.
            assert a.columns.units[:6] == b.columns.units[:6]
            for name in a.columns.names:
                assert_allclose(a.data[name], b.data[name], rtol=1e-12, atol=0)


def test_rebuilt_cube_of_2015_holds_the_published_counts(folders):
    """31,424,073 but for two, which the numpy of the day rounded from outside into the last bin."""
    _, reco = read_pair(folders["2015"])
    assert reco.counts.sum() == 31_424_071
    assert_allclose(reco.livetime, 100 * 1500.0, rtol=0)
    # Smoothed three times, as for a million counts and more.
    assert reco.rate.min() >= 1e-16


def test_pair_of_2015_differs_and_why(folders):
    """The fact sheet's list: width √2, central index 0.2, an arbitrary norm."""
    comparison = compare(*read_pair(folders["2015"]))
    assert not comparison.agree
    assert {"norm", "width", "center_index"} <= set(comparison.causes)
    width, index = comparison.measures["width"], comparison.measures["center_index"]
    # √2 by definition; smoothing and other anchors (80, 100 TeV) add 2 %.
    assert width.value / width.ideal == pytest.approx(np.sqrt(2), rel=0.02)
    # 2 ln 2 / ln 1000 = 0.2007; bin centres for integrals add 0.01.
    assert index.value - index.ideal == pytest.approx(0.2007, abs=0.015)
    assert "√2" in comparison.verdict


def test_current_pair_agrees(folders):
    """False-alarm rate 1e-3 of a comparison, but the seed is fixed: it passed or it did not."""
    true, reco = read_pair(folders["current"])
    comparison = compare(true, reco)
    assert comparison.agree, comparison.text
    assert reco.counts.sum() == np.round(reco.counts.sum())
    # Not the same file twice: a Poisson number of 31 million events.
    pull = (reco.counts.sum() - true.counts.sum()) / np.sqrt(true.counts.sum())
    assert 0 < abs(pull) < 4.9


def test_true_cube_is_the_expectation_but_rounded(folders):
    """7 digits: half a unit in the last is 5e-7 or less."""
    true, _ = read_pair(folders["current"])
    scenario = SCENARIOS["seed-2015"]
    stack = expected_stack(scenario.truth, scenario.table(0), true.axes)
    assert_allclose(true.counts, stack.counts, rtol=5.1e-7)
    assert_allclose(true.rate * true.livetime * true.axes.volume, true.counts, rtol=1e-6)


def test_control_editions_are_not_interchangeable(folders):
    true, _ = read_pair(folders["current"])
    _, reco = read_pair(folders["2015"])
    assert not compare(true, reco).agree


@pytest.mark.parametrize("edition", EDITIONS)
def test_bytes_are_the_known_ones(folders, edition, file_regression):
    """Of every file but the manifest, which has versions in it; as ``sha256sum -c`` wants them."""
    digests = json.loads((folders[edition] / "manifest.json").read_text())["sha256"]
    lines = [f"{digest}  {name}\n" for name, digest in digests.items()]
    file_regression.check("".join(lines), basename=edition, extension=".sha256")


def arithmetic():
    """Bits of what machines disagree on."""
    values = np.random.default_rng(0).uniform(0.1, 9, 10_000)
    results = np.exp(values), np.log(values), values**1.3, np.sin(values), values @ values
    return hashlib.sha256(b"".join(np.asarray(r).tobytes() for r in results)).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("edition", EDITIONS)
def test_same_bytes_with_another_arithmetic(folders, edition, tmp_path):
    from numpy._core._multiarray_umath import __cpu_dispatch__

    code = f"""
import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_fixtures import arithmetic
from simbg.fixtures import write_fixtures
write_fixtures({str(tmp_path / "again")!r}, {edition!r})
print(arithmetic())
"""
    plain = {**PLAIN, "NPY_DISABLE_CPU_FEATURES": " ".join(__cpu_dispatch__)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | plain,
        capture_output=True,
        text=True,
        check=True,
    )
    assert names_in(tmp_path / "again") == FILES[edition]
    for name in set(FILES[edition]) - {"manifest.json"}:
        again, first = (folder / name for folder in (tmp_path / "again", folders[edition]))
        assert again.read_bytes() == first.read_bytes(), name
    if done.stdout.split()[-1] == arithmetic():
        pytest.skip("this machine has one arithmetic only")


def test_folder_is_not_replaced_unless_asked(folders):
    with pytest.raises(FileExistsError, match="--overwrite"):
        write_fixtures(folders["2015"], "2015")


def test_unknown_edition(tmp_path):
    with pytest.raises(ValueError, match=r"'2016'.*2015.*current"):
        write_fixtures(tmp_path / "out", "2016")
    assert not (tmp_path / "out").exists()

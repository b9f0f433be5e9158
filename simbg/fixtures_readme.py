"""The page that lies beside reference files: what each holds, and the numbers a test would assert.

All numbers are read from the files that were written, or are those of the truth.
"""

from __future__ import annotations

import numpy as np

from simbg.axes import MEV_PER_TEV
from simbg.fixtures_small import BKG_2D, BKG_3D, EVENTS, N_STORE, RUNS, STORE, ZENITH
from simbg.io.cubes import read_cube
from simbg.io.files import open_fits
from simbg.rings import ring_solid_angle
from simbg.scenarios import SCENARIOS

__all__ = ["readme", "small_sections"]

PROMISE = """\
Every file but `manifest.json`, which also says which versions wrote it, has the same bytes on
every machine: SHA-256 in the manifest. Numbers are rounded to 7 significant digits, directions to
1e-6 deg and times to 0.01 s, and none lies so near to where rounding turns over that another
library's last digits could change it; edges of bins, and all of 2015's true cube, have full
precision. Compare numbers in the files with a relative tolerance of 1e-6, those of this page to the
digits that it shows.
"""
CONVENTIONS = """\
Arrays are (energy, fov_lon, fov_lat), whatever their order in the file. `fov_lon`, DETX, increases
with decreasing azimuth or right ascension; `fov_lat`, DETY, with altitude or declination. `index`
is the differential index of a rate. Integrals are Σ rate · ΔE · ΔΩ with ΔΩ = Δlon · Δ(sin lat), in
s⁻¹. The index of a cube is that from its first to its last energy bin; means are over bin centres.
"""
TRUE_2015 = """\
exp(−r²/σ²) times E^−1.5 counts a bin, so that the rate falls as E^−2.5; σ is 2.5 deg at 0.1 TeV and
5 deg at 80 TeV. See `simbg.truth.edition2015_cube`."""
RECO_2015 = """\
`default` on 100 runs of another model: normal with the standard deviation σ, so wider by √2, and
E^−2.5 over the whole field, so steeper at its centre."""
TRUE = "The exact expectation of 100 runs: "
RECO = "`histogram` on events drawn from that truth."
CENTER = 1.0  # deg


def readme(folder, edition, about):
    """The page for a folder of `simbg.fixtures.write_fixtures`.

    Parameters
    ----------
    folder : Path
    edition : {"2015", "current"}
    about : dict
        What made the pair.

    Returns
    -------
    text : str
    """
    parts = [
        f"# Reference files for background models, edition {edition}\n",
        f"Made by `simbg fixtures OUTDIR --edition {edition}`; this page, too. {about['about']}\n",
        PROMISE,
        CONVENTIONS,
        *_pair(folder, edition),
    ]
    if edition == "current":
        parts += small_sections(folder / "small")
    return "\n".join(parts)


def _pair(folder, edition):
    """Both cubes of 2015's binning."""
    texts = (TRUE + _truth(SCENARIOS["seed-2015"].truth), RECO)
    if edition == "2015":
        texts = TRUE_2015, RECO_2015
    for name, text in zip(("true", "reco"), texts, strict=True):
        file = f"bg_cube_model_{name}.fits.gz"
        cube = read_cube(folder / file)
        rows = {
            "format": "2015's table: HDUs `COUNTS`, `LIVETIME`, `BACKGROUND` (1 / (s sr TeV))",
            **_cube(cube),
            "counts": _number(cube.counts.sum(), 10),
            "livetime": f"{_number(cube.livetime.max())} s; the rate is per second of it",
        }
        yield _section(file, text, rows)


def small_sections(folder):
    """Sections for the files of `simbg.fixtures_small.write_small`."""
    yield (
        "# Small files\n\nAll are of one truth, but for where it peaks: "
        + _truth(RUNS.truth)
        + "\n"
    )
    yield _radial(folder / BKG_2D)
    for name, (align, peak) in BKG_3D.items():
        with open_fits(folder / name) as file:
            shape = file["BACKGROUND"].data["BKG"].shape[1:]
            total = file["BACKGROUND"].data["BKG"].sum()
        rows = {
            "format": f"GADF BKG_3D, HDU `BACKGROUND`, `FOVALIGN` {align}, s-1 MeV-1 sr-1",
            "shape in the file": f"(DETY, DETX, ENERG) {shape}",
            **_cube(read_cube(folder / name)),
            "sum of `BKG`": _number(total),
        }
        text = f"The truth with its peak at {peak} deg, averaged over each bin. {_clock()}"
        yield _section(f"small/{name}", text, rows)
    yield _section(f"small/{EVENTS}", "One run: EVENTS, GTI and AEFF.", _events(folder / EVENTS))
    yield _store(folder / STORE)


def _radial(path):
    with open_fits(path) as file:
        data = file["BACKGROUND"].data
        rate = data["BKG"][0].T.astype(float)
        energy, offset = (
            np.append(data[f"{name}_LO"][0], data[f"{name}_HI"][0][-1])
            for name in ("ENERG", "THETA")
        )
    events = rate * MEV_PER_TEV * np.diff(energy)[:, None] * ring_solid_angle(offset)
    rows = {
        "format": "GADF BKG_2D, HDU `BACKGROUND`, s-1 MeV-1 sr-1",
        "shape in the file": f"(THETA, ENERG) {rate.T.shape}",
        "energy": _edges(energy, "TeV"),
        "offset": f"{', '.join(_number(x) for x in offset)} deg",
        "integral (ΔΩ = 2π Δ(cos θ))": f"{_number(events.sum())} s⁻¹",
        "sum of `BKG`": _number(rate.sum()),
        "first and last of `BKG`": f"{_number(rate[0, 0])}, {_number(rate[-1, -1])}",
        "index": _number(_index(events.sum(axis=1), energy), 5),
        "mean offset, ring centres": f"{_number(_mean(events.sum(axis=0), offset), 5)} deg",
    }
    text = f"The truth with its peak at the centre, averaged over each ring. {_clock()}"
    return _section(f"small/{BKG_2D}", text, rows)


def _events(path):
    with open_fits(path) as file:
        header, data, gti = file["EVENTS"].header, file["EVENTS"].data, file["GTI"].data
        return {
            "events": str(len(data)),
            "energies": f"{_number(data['ENERGY'].min())} to {_number(data['ENERGY'].max())} TeV, "
            f"sum {_number(data['ENERGY'].sum())} TeV",
            "mean RA, Dec": f"{_angle(data['RA'].mean())}, {_angle(data['DEC'].mean())} deg",
            "pointing RA, Dec": f"{header['RA_PNT']}, {header['DEC_PNT']} deg",
            "pointing alt, az at mid-run": f"{header['ALT_PNT']}, {header['AZ_PNT']} deg",
            "good time": f"{float(gti['START'][0])} to {float(gti['STOP'][0])} s "
            "after 2010-01-01 00:00 UTC, in one interval",
            "first and last event": f"{float(data['TIME'][0])}, {float(data['TIME'][-1])} s",
            "observation time, livetime": f"{header['ONTIME']}, {header['LIVETIME']} s",
        }


def _store(folder):
    runs = {path.name: _events(path) for path in sorted((folder / "data").iterdir())}
    total = sum(int(facts["events"]) for facts in runs.values())
    text = f"A GADF data store of {N_STORE} runs, {total} events in all, without background models."
    facts = list(runs.values())
    rows = {"file": " | ".join(f"`data/{name}`" for name in runs)}
    rows |= {key: " | ".join(run[key] for run in facts) for key in facts[0]}
    return _section(f"small/{STORE}/", text, rows)


def _cube(cube):
    """What one may assert of any cube."""
    axes, events = cube.axes, cube.event_rate
    largest = np.unravel_index(np.nanargmax(cube.rate), axes.shape)
    first, last = (events[k] for k in (0, -1))
    center = events[:, axes.offset < CENTER].sum(axis=1)
    return {
        "bins": f"{axes.shape}",
        "energy": _edges(axes.energy, "TeV"),
        "fov_lon": _edges(axes.fov_lon, "deg"),
        "fov_lat": _edges(axes.fov_lat, "deg"),
        "integral": f"{_number(cube.total)} s⁻¹",
        "in the first and last energy bin": f"{_number(first.sum())}, {_number(last.sum())} s⁻¹",
        "largest rate": f"{_number(cube.rate[largest])} s⁻¹ MeV⁻¹ sr⁻¹ "
        f"in bin {tuple(map(int, largest))}",
        "index of the field": _number(_index(cube.spectrum, axes.energy), 5),
        "index within 1 deg of the centre": _number(_index(center, axes.energy), 5),
        "mean fov_lon, fov_lat": f"{_angle(_mean(events.sum(axis=(0, 2)), axes.fov_lon))}, "
        f"{_angle(_mean(events.sum(axis=(0, 1)), axes.fov_lat))} deg",
        "rms of fov_lon, first and last energy": " and ".join(
            f"{_number(_rms(image.sum(axis=1), axes.fov_lon), 5)} deg" for image in (first, last)
        ),
    }


def _truth(truth):
    low, high = truth.sigma_energy
    where = "the centre" if truth.normalization == "center" else "the whole field"
    return (
        f"index {truth.index} of the rate of {where} ({_number(truth.center_index, 5)} at the "
        f"centre, {_number(truth.integral_index, 5)} over the whole field), normal in fov_lon "
        f"and fov_lat with σ = {truth.sigma[0]} deg at {low} TeV to {truth.sigma[1]} deg at "
        f"{high} TeV; {truth.event_rate} events a second of livetime at zenith, "
        f"{truth.energy_range[0]}–{truth.energy_range[1]} TeV."
    )


def _clock():
    alive = 1 - RUNS.deadtime_fraction
    return f"Zenith angle {ZENITH} deg; per second of observation time, of which {alive} are live."


def _section(name, text, rows):
    lines = "".join(f"| {key} | {value} |\n" for key, value in rows.items())
    n_columns = 2 + next(iter(rows.values())).count(" | ")
    return f"## {name}\n\n{text}\n\n|{n_columns * ' |'}\n|{n_columns * '---|'}\n{lines}"


def _edges(edges, unit):
    return f"{edges.size - 1} bins, {_number(edges[0])} to {_number(edges[-1])} {unit}"


def _index(events, energy):
    """Of a power law with these integrals over the first and the last of even bins in ln E."""
    center = np.sqrt(energy[1:] * energy[:-1])
    return 1 - np.log(events[-1] / events[0]) / np.log(center[-1] / center[0])


def _mean(weight, edges):
    return np.average(0.5 * (edges[1:] + edges[:-1]), weights=weight)


def _rms(weight, edges):
    center = 0.5 * (edges[1:] + edges[:-1])
    return np.sqrt(np.average((center - _mean(weight, edges)) ** 2, weights=weight))


def _number(value, digits=6):
    return f"{float(value):.{digits}g}"


def _angle(value):
    """To decimals: of what is 0 but for the last bits, these are no number. No −0 either."""
    return f"{round(float(value), 5) + 0.0:.5f}"

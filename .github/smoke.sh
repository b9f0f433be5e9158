#!/usr/bin/env bash
# A short trial of an installed simbg, in an empty folder: its commands, its Python and its suite.
set -euo pipefail
cd "$(mktemp -d)"
simbg --version
simbg simulate store --scenario night --runs 2
simbg reconstruct store models --exclude none --fov 3:20
model=$(find models -name '*_gadf.fits.gz' | head -1)
simbg plot "$model" --out model.png
simbg truth true.fits.gz --model night --like "$model"
simbg compare true.fits.gz "$model" || [ $? = 1 ] # the zenith angles differ, and so may the cubes
python -c "import simbg; print(simbg.validate('histogram', 'threshold-bin'))"
test -s model.png

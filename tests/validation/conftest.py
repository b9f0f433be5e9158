"""What tests of pages and of figures share: one run of the suite, its figures and its files."""

import os
import pickle

import pytest
from support.suites import make_suite

from simbg.validation.figures.rendering import render
from simbg.validation.pages.report.page import write_reports


@pytest.fixture(scope="session")
def suite():
    return make_suite()


@pytest.fixture(scope="session")
def pictures(suite, tmp_path_factory):
    """Drawn once: of several processes that test, the first keeps them for the others."""
    base = tmp_path_factory.getbasetemp()
    kept = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "pictures"
    if not kept.is_file():
        new = kept.with_suffix(f".{os.getpid()}")
        new.write_bytes(pickle.dumps(render(suite, files=True)))
        new.replace(kept)
    return pickle.loads(kept.read_bytes())


@pytest.fixture(scope="session")
def folder(suite, pictures, tmp_path_factory):
    """All files of that run."""
    folder = tmp_path_factory.mktemp("reports")
    write_reports(folder, suite, pictures)
    return folder

"""What tests of pages and of figures share: one run of the suite, its figures and its files."""

import pytest
from support.suites import make_suite

from simbg.validation.figures.rendering import render
from simbg.validation.pages.report import write_reports


@pytest.fixture(scope="session")
def suite():
    return make_suite()


@pytest.fixture(scope="session")
def pictures(suite):
    return render(suite)


@pytest.fixture(scope="session")
def folder(suite, pictures, tmp_path_factory):
    """All files of that run."""
    folder = tmp_path_factory.mktemp("reports")
    write_reports(folder, suite, pictures)
    return folder

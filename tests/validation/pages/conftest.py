"""One browser for all pages."""

import pytest
from support import browser as chromium


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if chromium.find() is None:
        pytest.skip("no chromium on the path")
    with chromium.browser(tmp_path_factory.mktemp("profile")) as started:
        yield started

"""The page in a headless Chromium: silent, offline, and nothing overflows, at any width."""

from dataclasses import replace

import pytest

from simbg.validation.pages.report.page import write_reports

# What reaches over the right edge, but for what scrolls in a region of its own.
OVERFLOWING = """
[...document.querySelectorAll("body *")]
  .filter(e => !e.closest(".scroll") || e.matches(".scroll"))
  .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(e => e.tagName + " " + e.className + " " + e.textContent.slice(0, 40))
"""
BROKEN_LINKS = """
[...document.querySelectorAll("a")].map(a => a.getAttribute("href"))
  .filter(to => !to.startsWith("#") || !document.getElementById(decodeURIComponent(to.slice(1))))
"""
UNSEEN_IMAGES = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"


@pytest.fixture(scope="module")
def page(suite, pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    changes = [f"a change with a long_name_{'of_a_metric_' * 9}{n}" for n in range(20)]
    write_reports(folder, replace(suite, changes=changes), pictures)
    return folder / "index.html"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_page(browser, page, width, dark):
    """No error, no request, no broken link, nothing cut off."""
    browser.requests.clear()
    browser.complaints.clear()
    browser.open(page, width, dark)
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate(OVERFLOWING) == []
    assert browser.evaluate(BROKEN_LINKS) == []
    assert browser.evaluate("document.images.length") > 10
    assert browser.evaluate(UNSEEN_IMAGES) == 0
    assert browser.complaints == []
    foreign = [url for url in browser.requests if not url.startswith("data:")]
    assert foreign == [page.resolve().as_uri()]
    # The policy lets our style and script pass.
    color = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert color == ("rgb(20, 22, 26)" if dark else "rgb(255, 255, 255)")


def test_links_open_what_they_name(browser, page):
    """A click on a cell of the matrix leads to the method's section."""
    browser.open(page)
    browser.evaluate("document.querySelector('.matrix td a').click()")
    top = "document.querySelector(':target').getBoundingClientRect().top"
    assert browser.evaluate("location.hash") == "#seed-2015--histogram"
    assert abs(browser.evaluate(top)) < 100


def test_paper_has_all(browser, page, tmp_path):
    """Closed parts open for the printer, and close again; it is on white in the dark, too."""
    browser.open(page, dark=True)
    closed = "document.querySelectorAll('details:not([open])').length"
    before = browser.evaluate(closed)
    assert before > 0
    browser.evaluate(
        "window.seen = -1; addEventListener('beforeprint', () => seen = " + closed + ")"
    )
    browser.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").stat().st_size > 50_000
    assert browser.evaluate("seen") == 0
    assert browser.evaluate(closed) == before
    browser.open(page, 800, dark=True, paper=True)
    color = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert color == "rgb(255, 255, 255)"


def test_control_what_is_wrong_is_seen(browser, tmp_path):
    """A page with an error, a request, a dead link and a wide element."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<body><a href='#nowhere'>x</a><p style='width: 2000px'>wide</p>"
        "<img src='http://127.0.0.1:9/x.png'><script>console.error('no'); nothing()</script>"
    )
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(bad, 400)
    assert browser.evaluate(OVERFLOWING) == ["P  wide"]
    assert browser.evaluate(BROKEN_LINKS) == ["#nowhere"]
    assert browser.evaluate(UNSEEN_IMAGES) == 1
    assert "http://127.0.0.1:9/x.png" in browser.requests
    assert len(browser.complaints) >= 2


def test_control_the_policy_stops_what_is_not_ours(browser, page, tmp_path):
    """Markup that got into the page would neither run nor load."""
    text = page.read_text().replace("<main>", "<main><script>window.bad = 1</script>", 1)
    (tmp_path / "bad.html").write_text(
        text.replace("<main>", "<main><img src='http://127.0.0.1:9/'>")
    )
    browser.complaints.clear()
    browser.open(tmp_path / "bad.html")
    assert browser.evaluate("window.bad") is None
    assert any("Content Security Policy" in complaint for complaint in browser.complaints)

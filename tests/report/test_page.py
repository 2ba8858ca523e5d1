import re
import runpy
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ser_lightning.report.document import Code, Document, Folded, Points, Section, markdown
from ser_lightning.report.page import page
from ser_lightning.report.report import make_report
from ser_lightning.report.tables import Table

made = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Outline(HTMLParser):
    """Collect the tags and attributes of a page, and fail on a closing tag without its opening tag."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_report(made["write_sweep"](tmp_path_factory.mktemp("sweep"), seeds=2)).write().read_text()


def test_page_is_self_contained_without_scripts(html: str) -> None:
    outline = Outline()
    outline.feed(html)

    assert outline.open == []
    names = {tag for tag, _ in outline.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "form"}
    links = [value for _, attributes in outline.tags for key, value in attributes.items() if key in LINKS and value]
    assert links
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in links)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


LINKS = {"href", "src", "xlink:href", "srcset", "data"}


def test_page_has_all_sections_and_figures(html: str) -> None:
    headings = re.findall("<h2>(.*?)</h2>", html)
    assert headings == [
        *("Design", "Arms", "Differences", "Power", "Training", "Emotions and speakers", "Confusions", "Leak audit"),
        *("Cost", "Runs", "Left out", "Origin"),
    ]
    assert "Does dropout (none, p25) change the test accuracy?" in html
    assert len(re.findall('<svg role="img"', html)) == 7
    assert "p25 - none, points" in html
    assert "232 of 360 test clips have their other take in training" in html
    assert "torch: 2.11.0" in html
    for word in ("scientific", "nuisance", "fixed"):
        assert f"<li>{word}" in html


def test_page_supports_dark_mode_and_narrow_screens(html: str) -> None:
    assert "prefers-color-scheme: dark" in html
    assert "color-scheme: light dark" in html
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    # Both color schemes define every CSS variable that is used.
    used = set(re.findall(r"var\((--[a-z]+)\)", html))
    light, dark = (set(re.findall(r"(--[a-z]+):", rule)) for rule in re.findall(r":root \{[^}]*\}", html))
    assert used == light == dark
    assert html.count('<div class="scroll"') == html.count("<table>")


def test_page_escapes_markup() -> None:
    table = Table(("arm <b>", "words"), [("<script>", "a cell of so many words that it is broken into several lines")])
    sections = [
        Section(
            title="<i>", blocks=[table, Folded(title="x<y", table=table), Points(lines=["`a<b`"]), Code(text="a && b")]
        )
    ]
    found = Document(title="a&b", warning="<w>", question="<q>", answer="<a> 5 %", cautions=["<c>"], sections=sections)

    html = page(found)

    assert not re.search("<(b|i|script|w|q|a|c)>", html)
    assert "<code>a&lt;b</code>" in html
    assert "a &amp;&amp; b" in html
    assert "5&nbsp;%" in html
    assert '<td class="text words">a cell' in html
    assert "**<w>**" in markdown(found)
    assert "```sh\na && b\n```" in markdown(found)


def test_page_does_not_scroll_horizontally_in_browser(html: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    # Use a frame, because a Chromium window is at least 500 pixels wide.
    probe = "<script>parent.postMessage(innerWidth + ' ' + document.documentElement.scrollWidth, '*')</script></body>"
    (tmp_path / "report.html").write_text(html.replace("</body>", probe))
    file = tmp_path / "frame.html"
    listen = "<script>onmessage = event => { document.title = event.data }</script>"
    file.write_text(f'<title></title>{listen}<iframe width="400" height="900" src="report.html"></iframe>')
    words = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}/profile",
        "--dump-dom",
        "--virtual-time-budget=3000",
    ]

    shown = subprocess.run(
        [browser, *words, file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout

    found = re.search(r"<title>(\d+) (\d+)</title>", shown)
    assert found
    width, needed = map(int, found.groups())
    assert needed <= width <= 400

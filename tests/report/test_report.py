import gzip
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from tests.conftest import reduce_draws
from tests.report.conftest import edit, write_sweep

from ser_lightning.errors import InputError
from ser_lightning.report.export import export_runs
from ser_lightning.report.report import make_report
from ser_lightning.report.runs import read_runs

pytestmark = pytest.mark.usefixtures("few_draws")
VOID = {"meta", "link", "br", "img", "input", "hr"}
LINKS = {"href", "src", "xlink:href", "srcset", "data"}


def text_of(folder: Path) -> str:
    report = make_report(folder)
    return report.markdown(report.panels())


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
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a written report: read only."""
    sweep = write_sweep(tmp_path_factory.mktemp("written") / "ablation")
    edit(sweep / "dropout-p25/seed-1", lambda r: r["metrics"]["train"].update(accuracy=float("nan")))
    with pytest.MonkeyPatch.context() as patch:
        reduce_draws(patch)
        return make_report(sweep).write()


def test_report_is_written_and_reproducible(written: Path) -> None:
    sweep = written.parent
    first = {file: file.read_bytes() for file in [*sweep.glob("report.*"), *sweep.glob("figures/*.png")]}
    assert make_report(sweep).write() == written == sweep / "report.html"

    assert {file.name for file in first} == {
        *("report.html", "report.md", "report.json", "paired.png", "loss.png", "uar.png", "recall.png"),
        *("confusion-0.png", "confusion-1.png", "confusion-1-less-0.png"),
    }
    assert {file: file.read_bytes() for file in first} == first
    text = (sweep / "report.md").read_text()
    images = re.findall(r"\]\((.*?)\)", text)
    assert len(images) == 7
    assert all((sweep / image).is_file() for image in images)
    for fact in (f"ser-report {sweep}", "val 216, test 360", "commit: f00df00d", "torch: 2.11.0", "Nothing."):
        assert fact in text
    html = written.read_text()
    for heading in re.findall("^## (.*)$", text, re.M):
        assert f"<h2>{heading}</h2>" in html
    for row in re.findall(r"^\| (none|p25) \| (\d+) \| ([\d.]+)", text, re.M):
        assert re.search(r"<td[^>]*>{}</td>\s*<td[^>]*>{}</td>\s*<td[^>]*>{}".format(*row), html)


def test_report_json_is_strict_and_holds_all_numbers(written: Path) -> None:
    content = json.loads(written.with_name("report.json").read_text(), parse_constant=pytest.fail)

    accuracy = [run["test/accuracy"] for run in content["runs"] if run["arm"] == "none"]
    assert content["arms"]["none"]["test/accuracy"]["mean"] == pytest.approx(sum(accuracy) / 3)
    assert content["arms"]["p25"]["train/accuracy"]["n"] == 2
    difference = content["differences"]["p25"]["test/accuracy"]
    assert difference["pairs"] == [0, 1, 2]
    assert difference["bootstrap_over_speakers"]["clusters"] == 24
    assert set(difference["seeds_needed"]) == {"1", "2", "5"}
    assert list(content["recognized"]["female"]) == ["none", "p25"]
    groups = {(row["attribute"], row["group"]): row for row in content["fairness"]["p25"]["groups"]}
    assert groups["gender", "male"]["accuracy"] == pytest.approx(content["recognized"]["male"]["p25"])
    assert groups["gender", "male"]["unit"] == "speakers"
    assert {row["attribute"] for row in content["fairness"]["none"]["comparisons"]} == {
        "gender",
        "speaker",
        "intensity",
    }


@pytest.mark.slow
def test_arms_are_compared_with_the_baseline_in_order(tmp_path: Path) -> None:
    write_sweep(tmp_path, arms=("p25", "none", "p10"), seeds=2)

    written = json.loads(make_report(tmp_path).write().with_name("report.json").read_text())

    assert list(written["arms"]) == ["none", "p10", "p25"]
    assert list(written["differences"]) == ["p10", "p25"]
    assert written["cochran_q"]["df"] == 2


def test_single_arm_has_no_differences_and_removes_old_figures(sweep: Path) -> None:
    (sweep / "figures").mkdir()
    (sweep / "figures/confusion-1.png").touch()  # of an earlier report on two arms
    for run in sweep.glob("dropout-none/*"):
        run.rename(run.with_name(f".{run.name}"))

    path = make_report(sweep).write()

    assert "## Power" not in path.with_suffix(".md").read_text()
    assert not (sweep / "figures/confusion-1.png").exists()
    assert json.loads(path.with_suffix(".json").read_text())["differences"] == {}


def test_damaged_and_unfinished_runs_are_listed(sweep: Path) -> None:
    (sweep / "dropout-p25/seed-0/result.json").unlink()
    edit(sweep / "dropout-p25/seed-1", lambda r: r["metrics"]["test"].update(accuracy=0.99))

    text = text_of(sweep)

    assert "| dropout-p25/seed-0 | unfinished: no result.json |" in text
    assert "| dropout-p25/seed-1 | result.json says test accuracy 0.9900" in text


def test_synthetic_speech_is_stated_first(tmp_path: Path) -> None:
    text = text_of(write_sweep(tmp_path, seeds=1, corpus__name="synthetic", study_metric=None))

    assert "synthetic speech" in text.split("\n\n")[1]
    assert "istener" not in text


def test_study_metric_and_evaluation_mode_have_columns(tmp_path: Path) -> None:
    write_sweep(tmp_path, seeds=1, evaluation_mode_metrics={"test": {"accuracy": 0.5, "uar": 0.4}})

    text = text_of(tmp_path)

    assert "| test accuracy in evaluation mode | study's test metric |" in text
    assert "it is not an accuracy" in text
    assert "evaluation mode" not in text_of(write_sweep(tmp_path / "b", seeds=1, study_metric=None))


@pytest.mark.parametrize(
    ("corpus", "changes", "tables"),
    [
        ("ravdess", {}, ("| speaker's gender | none | p25 |", "| intensity | none | p25 | listeners |")),
        ("crema_d", {}, ("| speaker's gender | none | p25 |", "| intensity | none | p25 |\n")),
        ("emodb", {"intensity": "unspecified"}, ("| speaker's gender | none | p25 |",)),
        ("emodb", {"intensity": "", "gender": ""}, ()),
    ],
)
def test_tables_by_gender_and_intensity(tmp_path: Path, corpus: str, changes, tables) -> None:
    sweep = write_sweep(tmp_path, seeds=1, corpus__name=corpus)
    for path in sweep.rglob("predictions.csv"):
        pd.read_csv(path, dtype=str).assign(**changes).to_csv(path, index=False)

    text = text_of(sweep)

    for start in ("| speaker's gender |", "| intensity |"):
        assert (start in text) == any(table.startswith(start) for table in tables)
    assert all(table in text for table in tables)
    assert ("uman listeners" in text) == (corpus == "ravdess")


def test_no_report_for_runs_with_different_max_epochs(sweep: Path) -> None:
    edit(sweep / "dropout-p25/seed-1", lambda r: r["config"]["trainer"].update(max_epochs=40))

    with pytest.raises(InputError, match=r"trainer\.max_epochs: 80 and 40"):
        make_report(sweep).write()
    assert not (sweep / "report.md").exists()


def test_report_does_not_import_torch() -> None:
    code = (
        "import sys, ser_lightning.report.report, ser_lightning.report.export, ser_lightning.report.tables\n"
        "found = {'torch', 'pytorch_lightning', 'matplotlib.pyplot'} & sys.modules.keys()\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def html(written: Path) -> str:
    return written.read_text()


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
    assert len(re.findall('<svg role="img"', html)) == 7
    # Both color schemes define every CSS variable that is used.
    used = set(re.findall(r"var\((--[a-z]+)\)", html))
    light, dark = (set(re.findall(r"(--[a-z]+):", rule)) for rule in re.findall(r":root \{[^}]*\}", html))
    assert used == light == dark
    assert html.count('<div class="scroll"') == html.count("<table>")


def test_page_escapes_values(tmp_path: Path) -> None:
    write_sweep(tmp_path, seeds=1, name="<script>a&b", config__model={"<b>": "<i>x|y</i>"})
    path = make_report(tmp_path).write()

    html, text = path.read_text(), path.with_suffix(".md").read_text()
    assert not re.search("<(script|b|i)>", html + text)
    assert "<h1>&lt;script&gt;a&amp;b" in html
    assert "&quot;&lt;i&gt;x|y&lt;/i&gt;&quot;" in html


def test_page_does_not_scroll_horizontally_in_browser(html: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    # Use a frame, because a Chromium window is at least 500 pixels wide.
    probe = """<script>
      const tables = [...document.querySelectorAll(".scroll")].filter(table => table.scrollWidth > table.clientWidth)
      const shadows = tables.map(table => getComputedStyle(table).backgroundAttachment)
      const page = document.documentElement
      parent.postMessage([innerWidth, page.scrollWidth, tables.length, ...new Set(shadows)].join(" "), "*")
    </script></body>"""
    (tmp_path / "report.html").write_text(html.replace("</body>", probe))
    file = tmp_path / "frame.html"
    listen = "<script>onmessage = event => { document.title = event.data }</script>"
    file.write_text(f'<title></title>{listen}<iframe width="400" height="900" src="report.html"></iframe>')
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--dump-dom"]

    dumped = subprocess.run(
        [browser, *words, "--virtual-time-budget=3000", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout

    found = re.search(r"<title>(\d+) (\d+) (\d+) ([a-z, ]+)</title>", dumped)
    assert found
    width, needed, wider = map(int, found.groups()[:3])
    assert needed <= width <= 400
    assert wider >= 3  # tables that are wider than the page scroll; two shadows stay, their two covers move
    assert found[4] == "local, local, scroll, scroll"


def exported(sweep: Path, target: Path) -> Path:
    return export_runs(make_report(sweep).comparison, sweep, target)


@pytest.mark.slow
def test_report_of_export_equals_original_report(written: Path, tmp_path: Path) -> None:
    sweep, target = written.parent, exported(written.parent, tmp_path / "small")
    make_report(target).write()

    for name in ("report.json", "report.md"):
        assert (target / name).read_text().replace(str(target), str(sweep)) == (sweep / name).read_text()
    for name in ("paired", "recall", "confusion-0"):
        assert (target / f"figures/{name}.png").read_bytes() == (sweep / f"figures/{name}.png").read_bytes()


def test_export_is_small_idempotent_and_holds_no_machine_data(sweep: Path, tmp_path: Path) -> None:
    run = sweep / "dropout-p25/seed-1"
    edit(run, lambda r: r["config"].update(folder="/home/me/x", logger={"dir": "/home/me"}))
    edit(run, lambda r: r["history"].update({"val/loss": [1.23456789, None, 2]}))
    target = exported(sweep, tmp_path / "small")
    again = exported(target, tmp_path / "again")

    files = {path.relative_to(target): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert {path.name for path in files} == {"predictions.csv.gz", "result.json"}
    assert sum(map(len, files.values())) < 6 * 20_000
    assert all((again / path).read_bytes() == content for path, content in files.items())
    text = (target / "dropout-p25/seed-1/result.json").read_text()
    for private in ("/home/me", "/data/", "/stores/", "machine", "overrides"):
        assert private not in text
    assert json.loads(text)["history"]["val/loss"] == [1.2346, None, 2]
    header = gzip.decompress(files[Path("dropout-p25/seed-1/predictions.csv.gz")]).splitlines()[0]
    assert header == b"utterance,speaker,subset,target,prediction,gender,intensity"
    before, after = (read_runs(folder).predictions for folder in (sweep, target))
    pd.testing.assert_frame_equal(before, after)


def test_export_to_nonempty_folder_raises(sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/old").touch()
    (tmp_path / "file").touch()

    for name in ("full", "file"):
        with pytest.raises(InputError, match=f"--export .*{name} is not an empty folder"):
            exported(sweep, tmp_path / name)


def test_runs_without_speakers_are_compared_by_seed_alone(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "ablation")
    for path in sweep.rglob("predictions.csv"):
        rows = pd.read_csv(path, keep_default_na=False)
        rows.assign(speaker="").to_csv(path, index=False)
    page = make_report(sweep).write()
    text = page.with_suffix(".md").read_text(encoding="utf-8")
    found = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))
    assert "does not state the speakers" in text
    assert found["speakers"] == {arm: {} for arm in found["speakers"]}
    contrasts = [contrast for metrics in found["differences"].values() for contrast in metrics.values()]
    assert [contrast["bootstrap_over_speakers"] for contrast in contrasts] == [None] * len(contrasts)
    assert any(contrast["mean"] is not None for contrast in contrasts)

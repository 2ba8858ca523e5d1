"""ser-serve over HTTP and in a browser, with connections to other hosts forbidden."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient
from tests.cli.conftest import RATE, clip, conversation, wave  # noqa: F401 - fixtures
from tests.serve import browser

from ser_lightning.cli.model_file import open_model
from ser_lightning.predict.certainty import certainty_of
from ser_lightning.predict.predictor import Predictor
from ser_lightning.predict.splitting import Splitter, make_splitting
from ser_lightning.serve.app import make_app
from ser_lightning.serve.engine import Engine, Limits

LOOPBACK = """
import sys
def refuse(event, args):
    if event == "socket.connect" and not str(args[1][0]).startswith(("127.", "::1")):
        print("OUTSIDE", args[1], file=sys.stderr, flush=True)
        raise OSError("only loopback is allowed")
    if event == "socket.getaddrinfo" and args[0] not in ("127.0.0.1", "localhost", None):
        print("OUTSIDE", args[0], file=sys.stderr, flush=True)
        raise OSError("only loopback is allowed")
sys.addaudithook(refuse)
from ser_lightning.cli.serve import main
main()
"""


class Served:
    """A running service.

    Args:
        process: its process
        folder: folder of its temporary files

    """

    def __init__(self, process: subprocess.Popen, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.url = ""
        started = threading.Event()

        def read() -> None:
            for line in process.stderr:
                self.lines.append(line)
                if line.startswith("ser-serve: http"):
                    self.url = line.split()[1]
                    started.set()
            started.set()

        threading.Thread(target=read, daemon=True).start()
        started.wait(120)
        assert self.url, self.lines

    def post(self, path: Path, **options: object) -> httpx.Response:
        with path.open("rb") as file:
            return httpx.post(f"{self.url}/predict", files={"file": (path.name, file)}, timeout=120, **options)


@pytest.fixture(scope="module")
def served(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uploads")
    limits = ["--max-size", "2", "--max-length", "200", "--workers", "1", "--queue", "3"]
    words = [sys.executable, "-c", LOOPBACK, "--model", f"{trained}/checkpoints/best.ckpt", "--port", "0", *limits]
    env = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=env) as process:
        service = Served(process, folder)
        yield service
        process.terminate()
    assert not [line for line in service.lines if "OUTSIDE" in line or "Traceback" in line], service.lines


def test_answer_is_that_of_the_command(served, command, trained, conversation):  # noqa: F811
    path, _ = conversation
    compressed = served.folder.parent / "talk.ogg"
    samples, rate = soundfile.read(path)
    soundfile.write(compressed, samples, rate)
    done = command("predict", str(compressed), "--model", f"{trained}/checkpoints/best.ckpt", "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    response = served.post(compressed)
    assert response.status_code == 200
    answer = response.json()
    assert answer["duration"] == pytest.approx(len(samples) / rate, abs=0.01)
    assert len(answer["segments"]) == len(rows) > 10
    for row, found in zip(rows, answer["segments"], strict=True):
        assert found["path"] == "talk.ogg"
        assert {**found, "probabilities": None, "path": row["path"]} == {**row, "probabilities": None}
        assert found["probabilities"] == pytest.approx(row["probabilities"], abs=2e-6)
    assert list(served.folder.iterdir()) == []


def test_bad_uploads_are_refused_in_one_line(served, tmp_path):
    (tmp_path / "notes.wav").write_text("text")
    soundfile.write(tmp_path / "big.wav", np.zeros(1_100_000), RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "long.flac", np.zeros(210 * RATE), RATE)
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    chunks = iter([head, *[b"x" * 500_000] * 6])  # of an upload that does not state its length
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    for response, code, part in (
        (served.post(tmp_path / "notes.wav"), 422, "notes.wav"),
        (served.post(tmp_path / "big.wav"), 413, "2 MB"),
        (httpx.post(f"{served.url}/predict", content=chunks, headers=kind, timeout=60), 413, "2 MB"),
        (served.post(tmp_path / "long.flac"), 413, "200 s"),
        (httpx.post(f"{served.url}/predict"), 422, "file"),
        (httpx.get(f"{served.url}/health", headers={"Host": "example.org"}), 400, "host"),
    ):
        assert response.status_code == code
        assert part in response.text
        assert "\n" not in response.text
        assert str(served.folder) not in response.text
    assert list(served.folder.iterdir()) == []


def test_more_clients_than_the_queue_holds_are_refused(served, clip):  # noqa: F811
    with ThreadPoolExecutor(30) as pool:
        codes = [response.status_code for response in pool.map(lambda _: served.post(clip), range(30))]
    assert set(codes) == {200, 429}
    assert codes.count(200) >= 4
    assert httpx.get(f"{served.url}/health").json()["waiting"] == 0


def test_page_and_interface_are_self_contained(served, trained):
    health = httpx.get(f"{served.url}/health").json()
    assert (health["status"], len(health["emotions"]), health["limits"]["bytes"]) == ("ok", 8, 2_000_000)
    assert set(httpx.get(f"{served.url}/openapi.json").json()["paths"]) == {"/predict", "/health"}
    assert httpx.get(f"{served.url}/docs").status_code == 404  # FastAPI's page loads scripts from another host
    assert "<h2>Intended use</h2>" in httpx.get(f"{served.url}/card").text
    for path in ("/", "/page.js", "/page.css"):
        response = httpx.get(served.url + path)
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "//" not in response.text.replace("  // ", "").replace("\n// ", "")


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason="Chromium is not installed")
def test_page_predicts_a_file_and_the_microphone(served, clip):  # noqa: F811
    async def use() -> None:
        async with browser.open_page(served.url) as page:
            await page.choose(clip)
            await page.wait("!at('result').hidden")
            assert await page.run("at('name').textContent") == clip.name
            assert await page.run("at('probabilities').children.length") == 8
            await page.run("at('language').value = 'de'; at('language').dispatchEvent(new Event('change'))")
            assert "wütend" in await page.run("at('legend').textContent")
            await page.picture(width=400, height=800, dark=True)
            assert await page.run("at('language').getBoundingClientRect().right <= 400 - 16")  # below the long title
            await page.run("at('card').open = true")
            await page.wait("at('card').textContent.includes('Intended use')")
            await page.run("record()")
            await page.wait("recorder !== null")
            await asyncio.sleep(2)
            await page.run("recorder.stop()")
            await page.wait("at('name').textContent === 'Aufnahme.wav' && !at('result').hidden")
            assert await page.run("answer.duration") > 1
            assert page.errors == []
            outside = [url for url in page.urls if not url.startswith((served.url, "blob:", "data:", "about:"))]
            assert outside == []

    asyncio.run(use())


def test_answer_that_takes_too_long_is_refused(trained, clip):  # noqa: F811
    path = trained / "checkpoints" / "best.ckpt"
    opened = open_model(str(path), settings=[], trust=[], one_speaker=False, refused={}, force=False, exported=False)
    predictor = Predictor(
        opened.scorer,
        opened.audio,
        certainty=certainty_of(opened.scorer, reject=0.0, sets=False),
        batch_size=1,
        least_speech=0.0,
        vad="webrtc",
        one_speaker=False,
    )
    splitter = Splitter(make_splitting(training_data=opened.training_data), opened.audio)
    for seconds, code in ((60.0, 200), (1e-9, 503)):
        limits = Limits(size=10**6, length=60.0, time=seconds, workers=1, queue=1)
        engine = Engine(splitter=splitter, predictor=predictor, limits=limits)
        app = make_app(engine, emotions=opened.scorer.emotions, model="best.ckpt", card="", hosts=["testserver"])
        answer = TestClient(app).post("/predict", files={"file": (clip.name, clip.read_bytes())})
        assert answer.status_code == code, answer.text
        assert {"segments", "detail"} & set(answer.json()) == ({"segments"} if code == 200 else {"detail"})


def test_address_in_use_and_limits_are_refused(served, command, trained):
    port = served.url.rpartition(":")[2]
    model = f"{trained}/checkpoints/best.ckpt"
    done = command("serve", "--model", model, "--port", port)
    assert (done.code, f":{port}" in done.err) == (1, True)
    done = command("serve", "--model", model, "--timeout", "0")
    assert (done.code, "limit" in done.err) == (1, True)

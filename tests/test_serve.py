import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gradio", reason="needs the extra demo")
import httpx

import sersl_jax
from sersl_jax import serve
from tests.trained_run import CLASSES, babble, config, trained_run, write_run, write_wav

MEGABYTES, SECONDS = 1, 8.0
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    return serve.Analysis(sersl_jax.load(trained_run()), SECONDS, tmp_path_factory.mktemp("csv"))


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return serve.made_up(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def page(analysis, examples):
    page = serve.create_page(analysis, examples)
    yield page
    page.close()


@pytest.fixture(scope="module")
def url(page, examples):
    return serve.launch(page, examples, "127.0.0.1", None, MEGABYTES, wait=False)


def call(url: str, path: str) -> str:
    """What the page's function answers for a file."""
    data = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
    event = httpx.post(f"{url}gradio_api/call/recognise", json=data).json()["event_id"]
    return httpx.get(f"{url}gradio_api/call/recognise/{event}", timeout=60).text


def upload(url: str, path: Path) -> httpx.Response:
    with path.open("rb") as file:
        return httpx.post(f"{url}gradio_api/upload", files={"files": file})


def test_analysis_gives_probabilities_notes_a_picture_and_a_table(analysis, tmp_path):
    path = write_wav(tmp_path / "a.wav", babble(4.0))
    probabilities, notes, figure, button = analysis(str(path))
    assert sum(probabilities.values()) == pytest.approx(1)
    assert notes == ""
    assert [axes.get_ylabel() for axes in figure.axes] == ["waveform", "Hz", "probability"]
    rows = list(csv.DictReader(Path(button.value["path"]).read_text().splitlines()))
    assert [row["start"] for row in rows] == ["0.0", "0.5", "1.0", "1.5", "2.0"]
    silent = write_wav(tmp_path / "silent.wav", np.zeros(3000))
    assert analysis(str(silent))[1] == "**Take care:** the recording is silent."


def test_tables_are_deleted_after_an_hour(analysis, tmp_path):
    path = str(write_wav(tmp_path / "a.wav", babble(2.0)))
    analysis(path)
    old, *_ = analysis.folder.glob("csv*")
    os.utime(old, (0, 0))
    analysis(path)
    assert not old.exists()
    assert [*analysis.folder.glob("csv*/a.csv")]


def test_results_of_the_last_sessions_alone_are_kept(page, url):
    for _ in range(serve._SESSIONS + 2):
        event = httpx.post(f"{url}gradio_api/call/recognise", json={"data": [None]}).json()
        answer = httpx.get(f"{url}gradio_api/call/recognise/{event['event_id']}").text
        assert "Upload or record something first" in answer
    assert len(page.state_holder.session_data) == serve._SESSIONS


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's heaps")
def test_threads_share_a_heap():
    code = """if True:
        import ctypes, threading
        from sersl_jax import serve
        serve._share_one_heap()
        wait = threading.Barrier(4)
        ask = lambda: (wait.wait(), [bytes(1000) for _ in range(100)], wait.wait())
        threads = [threading.Thread(target=ask) for _ in range(4)]
        [thread.start() for thread in threads], [thread.join() for thread in threads]
        libc = ctypes.CDLL(None)
        libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
    """
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.count("<heap nr=") == 1


def test_a_recording_counts_as_all_clips_of_its_speaker(tmp_path):
    chosen = config()
    chosen.data.normalise = "speaker"
    recognizer = sersl_jax.load(write_run(tmp_path / "run", chosen, ("0",)))
    analysis = serve.Analysis(recognizer, SECONDS, tmp_path)
    assert "normalised together; here a recording is normalised by itself" in analysis.description
    probabilities, notes, _, _ = analysis(str(write_wav(tmp_path / "a.wav", babble(2.0))))
    own = recognizer.speaker_normaliser([tmp_path / "a.wav"])
    assert probabilities == recognizer.predict(tmp_path / "a.wav", normaliser=own).probabilities
    assert notes == ""


def test_recordings_that_cannot_be_used_are_told_without_their_folder(analysis, tmp_path):
    with pytest.raises(ValueError, match=r"^The recording is longer than 8 s"):
        analysis(str(write_wav(tmp_path / "long.wav", np.zeros(140_000))))
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(ValueError, match=r"^text.wav: not readable as sound"):
        analysis(str(tmp_path / "text.wav"))
    with pytest.raises(ValueError, match="Upload or record something first"):
        analysis(None)


def test_uploads_are_limited_and_other_files_out_of_reach(url, tmp_path):
    good = write_wav(tmp_path / "good.wav", babble(2.0))
    stored = upload(url, good).json()[0]
    assert "event: complete" in call(url, stored)
    (tmp_path / "huge.wav").write_bytes(bytes(2 * 1024 * 1024))
    assert upload(url, tmp_path / "huge.wav").status_code == 413
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    dots = "%2e%2e%2f" * 4
    for path in (str(secret), str(good), "/etc/passwd", f"{stored}/../../../../etc/passwd",
                 f"{stored}/{dots}etc/passwd", f"{Path(stored).parent}/..{secret}"):  # fmt: skip
        assert "event: error" in call(url, path)
        assert httpx.get(f"{url}gradio_api/file={path}").status_code in (403, 404)


def test_what_is_not_an_upload_is_refused(url, tmp_path, monkeypatch):
    """Addresses, which are never asked, and names that would leave the folder of uploads."""
    asked = []
    get = "gradio.processing_utils.async_ssrf_protected_get"
    monkeypatch.setattr(get, lambda url, *_, **__: asked.append(url))
    for path in ("http://127.0.0.1:22/", "file:///etc/passwd", "https://example.com/x.wav"):
        assert "event: error" in call(url, path)
        assert httpx.get(f"{url}gradio_api/file={path}").status_code in (400, 403, 404)
    assert not asked
    sound = write_wav(tmp_path / "a.wav", babble(1.0)).read_bytes()
    for name in ("../../a.wav", "/etc/a.wav", "..\\..\\a.wav"):
        sent = httpx.post(f"{url}gradio_api/upload", files={"files": (name, sound)})
        stored = Path(sent.json()[0]).resolve()
        assert stored.is_relative_to(Path(tempfile.gettempdir()).resolve())
        assert ".." not in Path(sent.json()[0]).parts


@pytest.mark.parametrize("path", ["", "config", "gradio_api/info", "gradio_api/file=/etc/passwd"])
@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1.elsewhere.example", "0.0.0.0"])
def test_a_name_that_is_not_the_pages_own_is_refused(url, host, path):
    """DNS rebinding: a browser takes the page for the other site's, so that it may read it."""
    port = httpx.URL(url).port
    assert httpx.get(url + path, headers={"Host": f"{host}:{port}"}).status_code == 400


def test_another_name_neither_uploads_nor_asks(url, tmp_path):
    wrong = {"Host": "elsewhere.example", "Origin": "http://elsewhere.example"}
    sound = write_wav(tmp_path / "a.wav", babble(1.0)).read_bytes()
    sent = httpx.post(f"{url}gradio_api/upload", files={"files": ("a.wav", sound)}, headers=wrong)
    asked = httpx.post(f"{url}gradio_api/call/recognise", json={"data": [None]}, headers=wrong)
    assert (sent.status_code, asked.status_code) == (400, 400)


def test_the_pages_own_names_are_answered(url):
    port = httpx.URL(url).port
    for host in ("localhost", "LOCALHOST", f"127.0.0.1:{port}", f"localhost:{port}"):
        assert httpx.get(f"{url}config", headers={"Host": host}).status_code == 200


def test_a_page_for_others_answers_to_any_name():
    assert serve._names("0.0.0.0") == serve._names("10.0.0.7") == ["*"]
    assert "*" not in serve._names("127.0.0.1") + serve._names("localhost")


def test_another_sites_page_may_not_ask(url):
    other = {"Host": "127.0.0.1:7860", "Origin": "http://elsewhere.example"}
    answer = httpx.get(f"{url}config", headers=other)
    assert answer.headers.get("access-control-allow-origin") is None


def test_examples_are_told_to_be_recordings(tmp_path):
    with pytest.raises(ValueError, match="holds no sound or video"):
        serve.list_examples(tmp_path)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_page_in_a_browser(url, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = write_wav(tmp_path / "a.wav", babble(3.0))
    asked = []
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.set_input_files("input[type=file]", path)
        page.wait_for_selector("#waveform", timeout=20_000)
        page.click("button:has-text('Recognise')")
        page.wait_for_selector("[data-testid=label-output-value]", timeout=60_000)
        label = page.inner_text("[data-testid=label-output-value]")
        with page.expect_download() as download:
            page.click("text=Download as CSV")
        rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
        browser.close()
    assert label in CLASSES
    assert len(rows) == 3
    assert {u for u in asked if not u.startswith((url, "data:", "blob:"))} == set(), json.dumps(
        asked
    )

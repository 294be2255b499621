"""What keeps ``pcvos annotate`` from starting, and whom it answers once it has."""

import http.client
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.browser import Annotate
from tests.support.cli import pcvos
from tests.support.videos import pictures, write_video

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4", pictures(6))


def test_an_unreadable_video(tmp_path: Path) -> None:
    broken = tmp_path / "text.mp4"
    broken.write_text("no video")
    result = pcvos("annotate", broken, "--out", tmp_path / "out", "--no-browser")
    assert result.exit_code == 3
    assert "text.mp4: not a readable video" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_port_in_use(video: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = pcvos(
            "annotate", video, "--out", tmp_path / "out", "--no-browser", "--port", str(port)
        )
    assert result.exit_code == 2
    assert f"port {port}" in result.stderr
    assert "choose another --port" in result.stderr


def test_a_folder_with_another_videos_annotation(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    saved = (
        '{"video": {"name": "cat.mp4"}, "objects": [], "next_id": 1, "settings": {"formats": '
        '["png"], "interval": 10, "size": 480, "model": "pcvos-lite", "backward": false}}'
    )
    (out / "annotation.json").write_text(saved)
    result = pcvos("annotate", video, "--out", out, "--no-browser")
    assert result.exit_code == 6
    assert "holds the annotation of another video (cat.mp4)" in result.stderr
    assert (out / "annotation.json").read_text() == saved


def test_an_out_that_is_a_file(video: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    result = pcvos("annotate", video, "--out", tmp_path / "out", "--no-browser")
    assert (result.exit_code, (tmp_path / "out").read_text()) == (6, "mine")


def test_only_this_machine_and_only_with_the_token(video: Path, tmp_path: Path) -> None:
    with Annotate(video, tmp_path / "out") as server:
        address = urlsplit(server.address)
        listening = [
            line.split()[1]
            for name in ("tcp", "tcp6")
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
            if line.split()[1].endswith(f":{address.port:04X}") and line.split()[3] == "0A"
        ]
        assert listening == [f"0100007F:{address.port:04X}"]  # 127.0.0.1

        def status(path: str, **headers: str) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=60)
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return answer.status

        assert status("/api/state") == 403
        assert status(f"/?{address.query}") == 303
        assert status(f"/?{address.query}", Host="evil.example") == 403
        cookie = f"pcvos_annotate_{address.port}={address.query.removeprefix('token=')}"
        assert status("/api/state", Cookie=cookie) == 200
        assert server.end(signal.SIGTERM) == 143

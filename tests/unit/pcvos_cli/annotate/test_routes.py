"""What the page asks for, without a browser."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette

from model.errors import OutputError
from pcvos_cli.annotate.project import Project
from pcvos_cli.annotate.routes import PAGE, routes
from pcvos_cli.annotate.runs import decode_runs, encode_runs
from pcvos_cli.annotate.session import Session
from pcvos_cli.files import write_whole
from pcvos_cli.video.seeking import FrameFinder
from pcvos_cli.video.source import FrameSource, open_source
from tests.support.asgi import Answer, ask
from tests.support.videos import pictures, write_video
from tests.unit.pcvos_cli.annotate.conftest import FRAMES, SIZE, ball

Ask = Callable[..., Answer]


@pytest.fixture
def failures() -> list[Exception]:
    return []


@pytest.fixture
def session(source: FrameSource, project: Project, failures: list[Exception]) -> Session:
    made = Session(source, project, failures.append)
    made.events.editor = "editor"
    return made


@pytest.fixture
def asked(session: Session) -> Ask:
    app = Starlette(routes=routes(session))

    def request(path: str, method: str = "GET", body: Any = b"", page: str = "editor") -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return ask(app, path, method=method, body=content, headers={"x-page": page})

    return request


def finish(session: Session) -> None:
    """Wait for the job."""
    end = time.monotonic() + 60
    while session.state()["job"]["kind"] is not None:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_page_is_all_that_is_served(asked: Ask) -> None:
    for name in PAGE:
        assert asked(f"/page/{name}").status == 200
    html = asked("/").body.decode()
    assert "<script>" not in html
    assert "style=" not in html
    assert " on" not in html.replace(" on the", "").replace(" on one", "").partition("<body>")[0]
    assert "//" not in html.replace("<!doctype", "")  # Nothing from elsewhere: it works offline.


@pytest.mark.parametrize(
    "path",
    ["/page/../session.py", "/page/..%2fsession.py", "/page//etc/passwd", "/page/session.py"],
)
def test_no_other_file_is(path: str, asked: Ask) -> None:
    assert asked(path).status == 404


def test_every_answer_says_which_frame_it_is_of(asked: Ask, project: Project) -> None:
    project.add_object()
    project.correct(7, ball(7).astype(np.uint8))
    picture, mask = asked("/api/frames/7/picture"), asked("/api/frames/7/mask")
    assert (picture.headers["x-frame"], mask.headers["x-frame"]) == ("7", "7")
    assert picture.body[:2] == b"\xff\xd8"
    assert np.array_equal(decode_runs(mask.body, SIZE), ball(7))


def test_a_drawn_mask_is_kept(asked: Ask, project: Project) -> None:
    assert asked("/api/do/add_object", "POST").json == {"result": 1}
    drawn = ball(3).astype(np.uint8)
    assert asked("/api/frames/3/mask", "PUT", encode_runs(drawn)).status == 200
    assert project.references == {3: (1,)}
    assert asked("/api/frames/3/mask?reference=0", "PUT", encode_runs(drawn)).status == 200
    assert project.references == {}
    assert np.array_equal(project.labels(3), drawn)


def test_a_box_and_a_click_cut_an_object_out(asked: Ask, project: Project) -> None:
    asked("/api/do/add_object", "POST")
    rows, columns = np.nonzero(ball(0))
    box = [int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
    answer = asked("/api/frames/0/prompt", "POST", {"object": 1, "box": box})
    found = decode_runs(answer.body, SIZE) == 1
    assert (found & ball(0)).sum() / (found | ball(0)).sum() > 0.7
    assert project.references == {0: (1,)}
    clicks = [[int(columns.min()) + 22, int(rows.min()) + 22, True]]
    again = asked("/api/frames/0/prompt", "POST", {"object": 1, "box": box, "clicks": clicks})
    assert decode_runs(again.body, SIZE)[clicks[0][1], clicks[0][0]] == 1


@pytest.mark.parametrize(
    ("path", "method", "body", "words"),
    [
        ("/api/frames/24/mask", "GET", b"", "frames 0 to 23"),
        ("/api/frames/99999/picture", "GET", b"", "frames 0 to 23"),
        ("/api/frames/0/mask", "PUT", b"123", "no pairs"),
        ("/api/frames/0/mask", "PUT", np.array([9, 96 * 128], "<u4").tobytes(), "no object 9"),
        ("/api/frames/0/prompt", "POST", {"object": 5, "box": [1, 2, 3, 4]}, "no object 5"),
        ("/api/frames/0/prompt", "POST", {}, "not a request of this page"),
        ("/api/frames/0/prompt", "POST", {"object": 1, "box": [1]}, "not a request of this page"),
        ("/api/do/choose", "POST", {"interval": "x"}, "settings"),
        ("/api/do/choose", "POST", {"device": "cuda"}, "settings"),
        ("/api/do/choose", "POST", b"{", "not a request of this page"),
        ("/api/do/choose", "POST", b"[]", "not a request of this page"),
        ("/api/do/rm", "POST", {}, "there is no rm"),
        ("/api/do/export", "POST", {}, "nothing to export"),
        ("/api/do/propagate", "POST", {"direction": "forward", "start": 99}, "frames 0 to 23"),
        (
            "/api/do/propagate",
            "POST",
            {"direction": "forward", "start": 9, "to": 3},
            "lies before frame 9",
        ),
    ],
)
def test_what_cannot_be_is_told_and_ends_nothing(
    path: str, method: str, body: Any, words: str, asked: Ask
) -> None:
    answer = asked(path, method, body)
    assert answer.status == 400
    assert words in answer.json["error"]
    assert asked("/api/state").status == 200


def test_an_error_in_a_request_never_ends_the_server(
    asked: Ask, session: Session, failures: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(frame: int) -> bytes:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(session, "picture", broken)
    answer = asked("/api/frames/0/picture")
    assert (answer.status, answer.json["error"]) == (
        500,
        "unexpected RuntimeError: a mistake of ours",
    )
    assert [str(error) for error in failures] == ["a mistake of ours"]
    assert asked("/api/state").status == 200


def test_the_second_page_sees_and_does_not_overwrite(asked: Ask, project: Project) -> None:
    asked("/api/do/add_object", "POST")
    drawn = encode_runs(ball(3).astype(np.uint8))
    for path, method, body in [
        ("/api/frames/3/mask", "PUT", drawn),
        ("/api/do/add_object", "POST", {}),
        ("/api/do/delete_object", "POST", {"id": 1}),
        ("/api/frames/0/prompt", "POST", {"object": 1, "box": [1, 1, 9, 9]}),
    ]:
        answer = asked(path, method, body, page="second")
        assert (answer.status, "another page" in answer.json["error"]) == (409, True)
    assert asked("/api/frames/3/mask", page="second").status == 200
    assert (len(project.objects), project.references) == (1, {})

    assert asked("/api/edit", "POST", page="second").status == 200
    assert asked("/api/frames/3/mask", "PUT", drawn, page="second").status == 200
    assert asked("/api/frames/3/mask", "PUT", drawn).status == 409


def test_a_disk_that_fills_is_told_while_drawing_and_while_propagating(
    asked: Ask,
    session: Session,
    project: Project,
    failures: list[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project.add_object()
    project.correct(0, ball(0).astype(np.uint8))

    def no_space(path: Path, content: bytes) -> None:
        if path.name == "00003.png":
            raise OutputError(f"{path}: cannot be written (No space left on device)")
        write_whole(path, content)

    monkeypatch.setattr("pcvos_cli.annotate.project.write_whole", no_space)
    answer = asked("/api/frames/3/mask", "PUT", encode_runs(ball(3).astype(np.uint8)))
    assert (answer.status, "No space left" in answer.json["error"]) == (507, True)
    assert project.references == {0: (1,)}

    assert asked("/api/do/propagate", "POST", {"direction": "forward", "start": 0}).status == 200
    finish(session)
    assert ["No space left" in str(error) for error in failures] == [True]
    assert project.masked == {0, 1, 2}
    assert asked("/api/state").json["job"] == {"kind": None}


def test_one_job_at_a_time_and_it_can_be_stopped(
    asked: Ask, session: Session, project: Project
) -> None:
    project.add_object()
    project.correct(0, ball(0).astype(np.uint8))
    forward = {"direction": "forward", "start": 0}
    assert asked("/api/do/propagate", "POST", forward).status == 200
    second = asked("/api/do/export", "POST")
    assert (second.status, "forward is running" in second.json["error"]) == (400, True)
    assert asked("/api/do/stop", "POST").status == 200
    finish(session)
    assert len(project.masked) < FRAMES
    assert asked("/api/do/propagate", "POST", forward).status == 200
    finish(session)
    assert len(project.masked) == FRAMES


ONLY_ITS_OWN = """
import sys
from pathlib import Path
import numpy as np
from pcvos_cli.annotate.project import Project
from pcvos_cli.annotate.session import Session
from pcvos_cli.video.seeking import FrameFinder
from pcvos_cli.video.source import open_source

video, out = map(Path, sys.argv[1:3])
opened = set()


def watch(name, given):
    # Names below a folder that is being deleted are relative to it.
    if name == "open" and isinstance(given[0], str) and given[0].startswith("/"):
        opened.add(given[:2])


sys.addaudithook(watch)
with open_source(video) as source, Project(out, FrameFinder(source)) as project:
    session = Session(source, project, lambda error: print("failed", error))
    project.add_object()
    session.picture(3)
    mask = np.zeros(project.size, np.uint8)
    mask[20:60, 20:60] = 1
    session.correct(0, mask, reference=True)
    session.prompt(0, {"object": 1, "box": [20, 20, 40, 40]})
    session.propagate({"direction": "forward", "start": 0, "to": 2})
    session._thread.join()
    session.export()
    session._thread.join()
for path, mode in opened:
    writes = mode is not None and set(mode) & set("wax+")
    print("wrote" if writes else "read", path)
"""


@pytest.mark.timeout(300)
def test_only_the_video_and_the_folder_are_touched(video: Path, tmp_path: Path) -> None:
    """What is read beside them is the program: its modules and its weights."""
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", ONLY_ITS_OWN, str(video), str(tmp_path / "out")],
        cwd=work,
        capture_output=True,
        text=True,
        check=True,
        timeout=280,
    )
    lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert not [line for line in lines if line[0] == "failed"]
    written = [Path(path) for kind, path in lines if kind == "wrote"]
    read = [Path(path) for kind, path in lines if kind == "read"]
    out = tmp_path / "out"
    assert any(path.is_relative_to(out) for path in written)
    strange = [p for p in written if not p.is_relative_to(out) and p != Path("/dev/null")]
    assert strange == []
    users = [p for p in read if p.is_relative_to(tmp_path) or p.is_relative_to(video.parent)]
    assert [p for p in users if p != video and not p.is_relative_to(out)] == []
    assert not list(work.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
def test_names_that_are_no_text_are_told(tmp_path: Path) -> None:
    """A file's, and an object's whose emoji a limit of letters cut in two."""
    video = write_video(tmp_path / os.fsdecode(b"v\xff.mp4"), pictures(2))
    with open_source(video) as source, Project(tmp_path / "out", FrameFinder(source)) as project:
        session = Session(source, project, lambda _: None)
        session.events.editor = "editor"
        app = Starlette(routes=routes(session))
        number = project.add_object().id
        body = json.dumps({"id": number, "name": "dog \ud83d"}).encode()
        page = {"x-page": "editor"}
        path = "/api/do/change_object"
        assert ask(app, path, method="POST", body=body, headers=page).status == 200
        state = ask(app, "/api/state").json
    assert state["video"]["name"] == video.name
    assert state["objects"][0]["name"] == "dog \ud83d"


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("choose", {"interval": 2.5}),
        ("choose", {"interval": True}),
        ("choose", {"backward": "yes"}),
        ("change_object", {"id": 1, "shown": "no"}),
        ("add_object", b"[" * 100_000),
    ],
)
def test_values_of_another_type_are_refused(
    action: str, body: Any, asked: Ask, failures: list[Exception]
) -> None:
    asked("/api/do/add_object", "POST", {})
    before = asked("/api/state").json
    assert asked(f"/api/do/{action}", "POST", body).status == 400
    assert asked("/api/state").json == before
    assert not failures

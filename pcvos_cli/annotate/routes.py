"""HTTP: the page's files, and what it asks of the session."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from model.errors import ConfigError, OutputError, PCVOSError
from pcvos_cli.annotate.guard import SAFE_METHODS
from pcvos_cli.annotate.runs import Labels, decode_runs, encode_runs
from pcvos_cli.annotate.session import Json, Session, in_words

PAGE = {
    "index.html": "text/html",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(
        ("app.js", "api.js", "view.js", "tools.js", "timeline.js", "panels.js", "keys.js"),
        "text/javascript",
    ),
}
"""The files of the page, which are all that is served of the package."""


_NO_REQUEST = (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError)
"""What reading a request that means nothing may raise."""


class _Json(JSONResponse):
    """JSON in ASCII, so that names that are no text can be told as well."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, read."""

    session: Session
    request: Request
    body: bytes

    @property
    def frame(self) -> int:
        """The frame of the path; errors as ``Session.frame``."""
        return self.session.frame(self.request.path_params["frame"])

    @property
    def json(self) -> Json:
        """The body, an object."""
        values = json.loads(self.body or b"{}")
        if not isinstance(values, dict):
            raise TypeError("the body is no JSON object")
        return values


def routes(session: Session) -> list[Route]:
    """Return the routes of a session."""

    def at(path: str, answer: Callable[[Asked], Response], *methods: str) -> Route:
        return Route(path, _endpoint(session, answer), methods=methods or ("GET",))

    async def events(request: Request) -> Response:
        stream = session.events.stream(request.query_params.get("page", ""))
        return StreamingResponse(stream, media_type="text/event-stream")

    async def edit(request: Request) -> Response:
        session.events.claim(request.headers.get("x-page", ""))
        return _Json({})

    return [
        at("/", _page),
        at("/page/{name}", _page),
        at("/api/state", lambda asked: _Json(asked.session.state())),
        at("/api/frames/{frame:int}/picture", _picture),
        at("/api/frames/{frame:int}/mask", _mask),
        at("/api/frames/{frame:int}/mask", _put_mask, "PUT"),
        at("/api/frames/{frame:int}/prompt", _prompt, "POST"),
        at("/api/do/{action}", _act, "POST"),
        Route("/api/events", events),
        Route("/api/edit", edit, methods=["POST"]),
    ]


def _endpoint(
    session: Session, answer: Callable[[Asked], Response]
) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that works in a thread and turns what is raised into words."""

    async def endpoint(request: Request) -> Response:
        may = request.method in SAFE_METHODS or session.events.may_edit(
            request.headers.get("x-page", "")
        )
        if not may:
            return _Json({"error": "another page edits this video"}, 409)
        asked = Asked(session, request, await request.body())
        try:
            return await run_in_threadpool(answer, asked)
        except PCVOSError as error:
            return _Json(in_words(error), 507 if isinstance(error, OutputError) else 400)
        except _NO_REQUEST as error:
            return _Json({"error": f"not a request of this page: {error!r}"}, 400)
        except Exception as error:  # a request never ends the server
            session.on_error(error)
            return _Json(in_words(error), 500)

    return endpoint


def _page(asked: Asked) -> Response:
    name = asked.request.path_params.get("name", "index.html")
    if name not in PAGE:
        return _Json({"error": f"there is no {name}"}, 404)
    content = (files("pcvos_cli.annotate") / "page" / name).read_bytes()
    return Response(content, media_type=PAGE[name])


def _picture(asked: Asked) -> Response:
    frame = asked.frame
    picture = asked.session.picture(frame)
    return Response(picture, media_type="image/jpeg", headers={"x-frame": str(frame)})


def _mask(asked: Asked) -> Response:
    return _runs(asked.frame, asked.session.project.labels(asked.frame))


def _put_mask(asked: Asked) -> Response:
    labels = decode_runs(asked.body, asked.session.project.size)
    reference = asked.request.query_params.get("reference") != "0"
    asked.session.correct(asked.frame, labels, reference=reference)
    return _Json({})


def _prompt(asked: Asked) -> Response:
    return _runs(asked.frame, asked.session.prompt(asked.frame, asked.json))


def _runs(frame: int, labels: Labels) -> Response:
    return Response(
        encode_runs(labels),
        media_type="application/octet-stream",
        headers={"x-frame": str(frame)},
    )


def _act(asked: Asked) -> Response:
    session, project, values = asked.session, asked.session.project, asked.json
    actions: dict[str, Callable[[], Any]] = {
        "add_object": lambda: project.add_object().id,
        "change_object": lambda: project.change_object(values.pop("id"), **values),
        "delete_object": lambda: project.delete_object(values["id"]),
        "choose": lambda: project.choose(**values),
        "propagate": lambda: session.propagate(values),
        "export": session.export,
        "stop": session.stop,
    }
    name = asked.request.path_params["action"]
    if name not in actions:
        raise ConfigError(f"there is no {name}")
    result = actions[name]()
    session.changed()
    return _Json({"result": result})

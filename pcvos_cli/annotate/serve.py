"""The front door: a video and a folder in, a page served until it is interrupted."""

import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from model.errors import ConfigError
from pcvos_cli.annotate.guard import Guard
from pcvos_cli.annotate.project import Project
from pcvos_cli.annotate.routes import routes
from pcvos_cli.annotate.session import Session
from pcvos_cli.video.seeking import FrameFinder
from pcvos_cli.video.source import open_source


def serve(
    video: Path,
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    on_start: Callable[[str], None],
    on_error: Callable[[Exception], None],
) -> None:
    """Serve the page of one video.

    Args:
        video: A video, or a folder of images.
        folder: Where the annotation is kept.
        host: Where to listen.
        port: Where to listen; ``None`` for any that is free.
        on_start: Called with the page's address, which holds the token.
        on_error: Called with what goes wrong later.

    Raises:
        ConfigError: The address cannot be listened at.
        InputError: The video cannot be read.
        OutputError: The folder is refused.
    """
    with (
        open_source(video) as source,
        _listen(host, port) as listening,
        Project(folder, FrameFinder(source)) as project,
    ):
        session = Session(source, project, on_error)
        port = listening.getsockname()[1]
        token = secrets.token_urlsafe(32)
        guard = Guard(
            Starlette(routes=routes(session)),
            host=host,
            port=port,
            token=token,
            max_body=session.max_body,
        )
        config = uvicorn.Config(
            guard,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(
            host, f"[{host}]" if ":" in host else host
        )
        on_start(f"http://{name}:{port}/?token={token}")
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            session.close()


def _listen(host: str, port: int | None) -> socket.socket:
    """Return a listening socket.

    Raises:
        ConfigError: The port is in use, or the host is not this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port or 0))
        listening.listen()
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen at {host}, port {port or 'any'}: {error.strerror}",
            hint="choose another --port, or leave it out for one that is free",
        ) from error
    return listening

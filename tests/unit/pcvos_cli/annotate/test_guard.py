"""Who may ask: a test for each rule."""

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from pcvos_cli.annotate.guard import Guard
from tests.support.asgi import Answer, ask

TOKEN = "a-secret-of-the-address"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("the app")(scope, receive, send)


def request(path: str = "/", *, host: str = "127.0.0.1", **headers: str) -> Answer:
    return send("GET", path, host=host, **headers)


def send(method: str, path: str = "/", *, host: str = "127.0.0.1", **headers: str) -> Answer:
    guard = Guard(app, host=host, port=8000, token=TOKEN, max_body=100)
    given = {"host": "127.0.0.1:8000", "cookie": f"pcvos_annotate_8000={TOKEN}"}
    given |= {name.lower().replace("_", "-"): value for name, value in headers.items()}
    return ask(guard, path, method=method, headers=given)


OWN = {"origin": "http://127.0.0.1:8000", "content_length": "0"}


def test_the_token_of_the_address_becomes_a_cookie_that_scripts_cannot_read() -> None:
    answer = request(f"/?token={TOKEN}", cookie="")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert f"pcvos_annotate_8000={TOKEN}" in cookie
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


@pytest.mark.parametrize("path", ["/", "/?token=wrong", "/?token=%C3%A4", "/page/app.js", "/api/x"])
@pytest.mark.parametrize("cookie", ["", "pcvos_annotate_8000=wrong", "pcvos_annotate_8000", "=;[]"])
def test_without_the_token_nothing_is_answered(path: str, cookie: str) -> None:
    answer = request(path, cookie=cookie)
    assert answer.status == 403
    assert b"terminal" in answer.body


def test_with_the_cookie_the_app_answers_under_a_policy_without_inline_scripts() -> None:
    answer = request("/api/x")
    assert (answer.status, answer.body) == (200, b"the app")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "host", ["evil.example:8000", "evil.example", "127.0.0.1:9", "127.0.0.1", "", "10.0.0.1:8000"]
)
def test_another_host_name_is_refused(host: str) -> None:
    """A name of somebody else's that was rebound to this address (DNS rebinding)."""
    assert request("/api/x", host="127.0.0.1", Host=host).status == 403


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_names_of_this_machine_are_its_own(host: str) -> None:
    assert request("/api/x", Host=host).status == 200


def test_an_open_host_takes_addresses_but_no_names() -> None:
    assert request("/", host="0.0.0.0", Host="192.168.1.5:8000").status == 200
    assert request("/", host="0.0.0.0", Host="evil.example:8000").status == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9", ""])
def test_another_origin_is_refused(origin: str) -> None:
    assert request("/api/x", origin=origin).status == 403
    assert send("POST", origin=origin, content_length="0").status == 403


def test_what_changes_something_names_its_origin() -> None:
    assert send("POST", content_length="0").status == 403
    assert send("POST", **OWN).status == 200


def test_requests_are_bounded() -> None:
    assert send("PUT", **{**OWN, "content_length": "100"}).status == 200
    assert send("PUT", **{**OWN, "content_length": "101"}).status == 413
    for length in ("", "-1", "1e3"):
        assert send("PUT", **{**OWN, "content_length": length}).status == 411

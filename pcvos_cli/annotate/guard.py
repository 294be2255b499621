"""Who may ask: the token, the Host and Origin headers, and the size of what is sent."""

import ipaddress
import secrets

from starlette.datastructures import Headers, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
SAFE_METHODS = ("GET", "HEAD")


class Guard:
    """Lets a request through to ``app`` only if it is from our own page.

    Args:
        app: What is guarded.
        host: Where the server listens.
        port: Its port.
        token: The secret of the printed address.
        max_body: Bytes that a request may send.
    """

    def __init__(self, app: ASGIApp, *, host: str, port: int, token: str, max_body: int) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._token = token
        self._max_body = max_body
        # Cookies are shared by all ports of a host; the name keeps two servers apart.
        self.cookie = f"pcvos_annotate_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request here, hand on any other."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], headers)
        if refusal is None and not self._is_known(headers):
            given = QueryParams(scope["query_string"]).get("token", "")
            if scope["path"] == "/" and _same(given, self._token):
                await self._welcome(scope, receive, send)
                return
            refusal = 403, "Open the address that pcvos annotate printed in the terminal."
        if refusal is not None:
            status, text = refusal
            response = PlainTextResponse(text, status, headers=HEADERS)
            await response(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(k.encode(), v.encode()) for k, v in HEADERS.items()]
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 403, "This host name is not the server's own."
        origin = headers.get("origin")
        # A browser names the origin of every request that changes something.
        if origin != f"http://{host}" and (origin is not None or method not in SAFE_METHODS):
            return 403, "This request comes from another site."
        if method not in SAFE_METHODS:
            length = headers.get("content-length", "")
            if not length.isdigit():
                return 411, "The request does not say its length."
            if int(length) > self._max_body:
                return 413, f"The request is larger than {self._max_body} bytes."
        return None

    def _is_ours(self, host: str) -> bool:
        """Tell whether a Host header names this server and not a name that was rebound to it."""
        name, _, port = host.rpartition(":")
        if port != str(self._port):
            return False
        name = name.strip("[]")
        if name in ("localhost", self._host):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False  # A name: DNS may say anything about it.
        return address.is_loopback or self._host in ("0.0.0.0", "::")

    def _is_known(self, headers: Headers) -> bool:
        given = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        return _same(given, self._token)

    async def _welcome(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Swap the token of the address for a cookie, so that it stays out of the history."""
        response = RedirectResponse("/", 303, headers=HEADERS)
        response.set_cookie(self.cookie, self._token, httponly=True, samesite="strict")
        await response(scope, receive, send)


def _same(given: str, secret: str) -> bool:
    """Compare in a time that tells nothing of the secret."""
    return secrets.compare_digest(given.encode(), secret.encode())

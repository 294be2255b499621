"""What the server tells its pages, and which of them may change anything."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

KEEP_ALIVE_SECONDS = 15.0
WAITING = 1000
"""Events that a page may be behind; one that is further behind is cut off and reads anew."""


class Events:
    """A stream of events a page. The page that came first edits; the others see.

    ``send`` may be called from any thread, all else in the event loop's.
    """

    def __init__(self) -> None:
        self._pages: dict[str, asyncio.Queue[str | None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.editor: str | None = None

    def send(self, kind: str, **values: Any) -> None:
        """Tell all pages."""
        if self._loop is not None and not self._loop.is_closed():
            text = f"data: {json.dumps({'kind': kind, **values})}\n\n"
            self._loop.call_soon_threadsafe(self._put, text)

    def may_edit(self, page: str) -> bool:
        """Tell whether no other page edits."""
        return self.editor in (None, page)

    def claim(self, page: str) -> None:
        """Let a page edit; the one that did sees from now on."""
        self.editor = page
        self.send("editor", page=page)

    def close(self) -> None:
        """End all streams, so that the server can end."""
        for queue in self._pages.values():
            queue.put_nowait(None)

    async def stream(self, page: str) -> AsyncIterator[str]:
        """Yield events as server-sent events until the page leaves."""
        self._loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._pages[page] = queue
        if self.editor is None:
            self.editor = page
        self.send("editor", page=self.editor)
        try:
            while True:
                try:
                    text = await asyncio.wait_for(queue.get(), KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    text = ": still here\n\n"
                if text is None:
                    return
                yield text
        finally:
            if self._pages.get(page) is queue:
                del self._pages[page]
                if self.editor == page:
                    self.editor = next(iter(self._pages), None)
                    self.send("editor", page=self.editor)

    def _put(self, text: str) -> None:
        for queue in self._pages.values():
            queue.put_nowait(None if queue.qsize() > WAITING else text)

"""A web server on this machine that serves one file under any name, well or as badly as a test asks."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]


class Site(ThreadingHTTPServer):
    """What is served, and what was asked."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.validators = {"ETag": '"first"'}
        self.answers: list[Answer] = []  # to the next requests, one each; after them all is well
        self.asked: list[tuple[str, Message]] = []  # path and headers of every request
        self.closing = threading.Event()

    def url(self, name: str = "weights.h5") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"

    def ranges(self) -> list[str | None]:
        """The Range of every request."""
        return [headers["Range"] for _, headers in self.asked]


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers))
        answer = self.server.answers.pop(0) if self.server.answers else well
        with contextlib.suppress(ConnectionError):  # the other side has gone
            answer(self)

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(content: bytes) -> Iterator[Site]:
    """Serve until the block ends."""
    with Site(content) as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield site
        site.closing.set()
        site.shutdown()


def well(handler: Handler) -> None:
    """Give the file, or what follows after the byte that was asked for if the file is still the same."""
    site, start = handler.server, 0
    if handler.headers["Range"] and handler.headers["If-Range"] in site.validators.values():
        start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    size = len(site.content)
    if start >= size:
        handler.head(416, Content_Range=f"bytes */{size}")
    elif start:
        part = f"bytes {start}-{size - 1}/{size}"
        handler.head(206, Content_Length=size - start, Content_Range=part, **site.validators)
    else:
        handler.head(200, Content_Length=size, **site.validators)
    handler.wfile.write(site.content[start:])


def whole(handler: Handler) -> None:
    """Give the whole file, whatever was asked for."""
    del handler.headers["Range"]
    well(handler)


def without_length(handler: Handler) -> None:
    handler.head(200)
    handler.wfile.write(handler.server.content)


def breaks_after(n: int) -> Answer:
    """Close the connection after n bytes of the whole file."""

    def answer(handler: Handler) -> None:
        handler.head(200, Content_Length=len(handler.server.content), **handler.server.validators)
        handler.wfile.write(handler.server.content[:n])

    return answer


def stalls_after(n: int) -> Answer:
    """Send n bytes of the whole file, then nothing."""

    def answer(handler: Handler) -> None:
        breaks_after(n)(handler)
        handler.server.closing.wait()

    return answer


def claims(length: int) -> Answer:
    """Send the whole file under a wrong length."""

    def answer(handler: Handler) -> None:
        handler.head(200, Content_Length=length, **handler.server.validators)
        handler.wfile.write(handler.server.content)

    return answer


def continues_at(start: int, *, until: int | None = None) -> Answer:
    """Send a range of the server's own choice, and say that it goes to the end."""

    def answer(handler: Handler) -> None:
        size, sent = len(handler.server.content), handler.server.content[start:until]
        handler.head(206, Content_Length=len(sent), Content_Range=f"bytes {start}-{size - 1}/{size}")
        handler.wfile.write(sent)

    return answer


def says(status: int, text: bytes = b"<!DOCTYPE html><p>Sorry", **headers: object) -> Answer:
    """Answer with a page."""

    def answer(handler: Handler) -> None:
        handler.head(status, Content_Length=len(text), **headers)
        handler.wfile.write(text)

    return answer

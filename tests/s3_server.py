"""An S3 server on this machine (moto), and one before it that fails as a test asks."""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fault = Callable[["Handler"], None]


class Proxy(ThreadingHTTPServer):
    """Hands requests on to a server, but for those that are to fail."""

    daemon_threads = True

    def __init__(self, server: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.target = server.removeprefix("http://")
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.faults: list[tuple[str, Fault]] = []  # method, and what becomes of the next request of it
        self.asked: list[str] = []  # method, path without query, and range if any of every request
        self.closing = threading.Event()

    def fail(self, method: str, fault: Fault, *, times: int = 1) -> None:
        self.faults += [(method, fault)] * times


class Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for an acknowledgement

    def answer(self) -> None:
        body = self._body()
        ranges = self.headers.get("Range", "")
        self.server.asked.append(f"{self.command} {self.path.partition('?')[0]} {ranges}".strip())
        fault = next((fault for fault in self.server.faults if fault[0] == self.command), None)
        with contextlib.suppress(ConnectionError):  # the other side has gone
            if fault:
                self.server.faults.remove(fault)
                self.request_body = body
                fault[1](self)
            else:
                self.reply(*self.forward(body))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """What the real server says."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_HOP}
        with contextlib.closing(http.client.HTTPConnection(self.server.target)) as connection:
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in (*_OF_ONE_HOP, "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", headers.get("Content-Length", str(len(content))))
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, *_: object) -> None:
        pass


_OF_ONE_HOP = ("connection", "transfer-encoding", "expect", "keep-alive")


def says(status: int, code: str) -> Fault:
    """Answer with an error as S3 words it."""

    def fault(handler: Handler) -> None:
        message = f"<Error><Code>{code}</Code><Message>{'Try again. ' * 20}</Message></Error>".encode()
        handler.reply(status, {"Content-Type": "application/xml"}, message if handler.command != "HEAD" else b"")

    return fault


def drops(handler: Handler) -> None:
    """Close the connection without a word."""
    handler.close_connection = True


def cuts(handler: Handler) -> None:
    """Close the connection in the middle of the body."""
    status, headers, content = handler.forward(handler.request_body)
    handler.reply(status, headers, content[: len(content) // 2])
    handler.close_connection = True


def stalls(handler: Handler) -> None:
    """Say nothing for as long as the test lasts."""
    handler.server.closing.wait()
    handler.close_connection = True


def forgets_to_answer(handler: Handler) -> None:
    """Do what was asked, and close the connection before saying so."""
    handler.forward(handler.request_body)
    handler.close_connection = True


@contextlib.contextmanager
def proxy(server: str) -> Iterator[Proxy]:
    """Serve until the block ends."""
    with Proxy(server) as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield site
        site.closing.set()
        site.shutdown()

"""What the callback application fetches: whole, in time, within bounds, and from where it asked."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from download import download

Answer = Callable[[socket.socket], None]


class Server:
    """Answers every connection with what a test does to its socket. Counts them."""

    def __init__(self, answer: Answer):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._answer = answer
        self.asked = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/x"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.asked += 1
            with connection:
                connection.recv(65536)
                try:
                    self._answer(connection)
                except OSError:
                    """The client has left."""

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Server]]:
    servers: list[Server] = []

    def start(answer: Answer) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def says(text: str) -> Answer:
    return lambda connection: connection.sendall(text.replace("\n", "\r\n").encode())


CHUNKED = "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n3\nabc\n"


@pytest.mark.parametrize(
    "reply",
    [
        "HTTP/1.1 200 OK\ncontent-length: 3\n\nabc",
        "HTTP/1.1 200 OK\nconnection: close\n\nabc",
        CHUNKED + "0\n\n",
    ],
)
def test_a_whole_body_is_returned(serve: Callable[[Answer], Server], reply: str) -> None:
    assert download(serve(says(reply)).url) == b"abc"


@pytest.mark.parametrize(
    "reply",
    [
        "HTTP/1.1 200 OK\ncontent-length: 4\n\nabc",
        CHUNKED,
        "HTTP/1.1 204 No Content\n\n",
        "HTTP/1.1 206 Partial Content\ncontent-length: 3\n\nabc",
        "HTTP/1.1 404 Not Found\ncontent-length: 3\n\nabc",
        "HTTP/1.1 500 Oh\ncontent-length: 3\n\nabc",
        "SSH-2.0\n\n",
        "",
        "HTTP/1.1 200 OK\n" + "x: y\n" * 200 + "\n",
    ],
)
def test_whatever_is_not_whole_is_an_os_error(serve: Callable[[Answer], Server], reply: str) -> None:
    with pytest.raises(OSError):
        download(serve(says(reply)).url)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(serve: Callable[[Answer], Server], status: int) -> None:
    other = serve(says("HTTP/1.1 200 OK\ncontent-length: 3\n\nabc"))
    server = serve(says(f"HTTP/1.1 {status} There\nlocation: {other.url}\ncontent-length: 0\n\n"))
    with pytest.raises(OSError, match=f"status {status}"):
        download(server.url)
    assert (server.asked, other.asked) == (1, 0)


def test_more_than_it_may_be_is_an_os_error_and_never_a_part(serve: Callable[[Answer], Server]) -> None:
    server = serve(says("HTTP/1.1 200 OK\nconnection: close\n\n" + "x" * 2000))
    assert len(download(server.url, most_bytes=2000)) == 2000
    with pytest.raises(OSError, match="more than 1999"):
        download(server.url, most_bytes=1999)


def test_a_server_that_says_nothing_or_little_is_given_up(serve: Callable[[Answer], Server]) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.1)

    for answer in (lambda _: time.sleep(5), drip):
        begin = time.monotonic()
        with pytest.raises(OSError):
            download(serve(answer).url, seconds=1)
        assert time.monotonic() - begin < 3


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x", "nothing"])
def test_only_http_is_spoken(url: str) -> None:
    with pytest.raises((OSError, ValueError)):
        download(url)

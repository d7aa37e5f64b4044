"""What counts as a request with which the HTTP protocol can begin."""

import pytest

from fairlead.studio.first_requests import MAX_FIRST, FirstRequest

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nContent-Length: 4\r\nHost: localhost\r\n\r\n"
LARGE = b"POST / HTTP/1.1\r\nHost: localhost\r\ncontent-length:9000000\r\n\r\n"


@pytest.mark.parametrize(
    "content",
    [GET, GET.replace(b"\r\n", b"\n"), POST + b"text"],
    ids=["no body", "bare line feeds", "a body"],
)
def test_a_request_is_ready_with_its_last_byte(content: bytes) -> None:
    request = FirstRequest()
    ready = [request.add(content[n : n + 1]) for n in range(len(content))]
    assert ready == [False] * (len(content) - 1) + [True]


def test_a_long_body_is_ready_with_its_first_part() -> None:
    request = FirstRequest()
    assert not request.add(LARGE)
    assert not request.add(bytes(MAX_FIRST - len(LARGE) - 1))
    assert request.add(b"x")


@pytest.mark.parametrize(
    "more", [b"Expect: 100-continue", b"Transfer-Encoding: chunked"], ids=["waits for leave", "chunked"]
)
def test_a_body_that_cannot_be_waited_for_goes_on_at_once(more: bytes) -> None:
    head = LARGE if more.startswith(b"Expect") else GET
    assert FirstRequest().add(head[:-2] + more + b"\r\n\r\n")


def test_headers_without_an_end_go_on_and_are_refused() -> None:
    request = FirstRequest()
    assert not request.add(GET[:-2])
    assert request.add(b"X-Long: " + b"x" * MAX_FIRST)

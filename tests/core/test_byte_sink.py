"""Bytes that are taken while a file is written."""

from fairlead.core.byte_sink import BYTES_PER_PART, ByteSink


def test_what_was_taken_is_not_kept_and_the_position_goes_on() -> None:
    sink = ByteSink()
    sink.write(b"ab")
    assert sink.writable() and not sink.has_much
    assert (sink.taken(), sink.taken(), sink.tell()) == (b"ab", b"", 2)
    sink.write(b"c" * BYTES_PER_PART)
    assert sink.has_much and sink.tell() == BYTES_PER_PART + 2

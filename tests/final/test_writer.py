"""The writer's types that no stage has; `stages/03-writer/test_checkpoint.py` is about the others."""

import pytest

from final.protocol.writer import NULL_ARRAY, Attributed, BigNumber, Push, Replies, Value, Verbatim, encode


@pytest.mark.parametrize(
    ("value", "resp2", "resp3"),
    [
        (NULL_ARRAY, b"*-1\r\n", b"_\r\n"),
        ([None, NULL_ARRAY], b"*2\r\n$-1\r\n*-1\r\n", b"*2\r\n_\r\n_\r\n"),
        (BigNumber(2**70), b"$22\r\n1180591620717411303424\r\n", b"(1180591620717411303424\r\n"),
        (Verbatim(b"a\nb"), b"$3\r\na\nb\r\n", b"=7\r\ntxt:a\nb\r\n"),
        (Push([b"news", 1]), b"*2\r\n$4\r\nnews\r\n:1\r\n", b">2\r\n$4\r\nnews\r\n:1\r\n"),
        (Push([None, {True}]), b"*2\r\n$-1\r\n*1\r\n:1\r\n", b">2\r\n_\r\n~1\r\n#t\r\n"),
        (Replies([Push([True]), None]), b"*1\r\n:1\r\n$-1\r\n", b">1\r\n#t\r\n_\r\n"),
        (Attributed(None, {b"ttl": True}), b"$-1\r\n", b"|1\r\n$3\r\nttl\r\n#t\r\n_\r\n"),
    ],
    ids=["null-array", "nulls", "big-number", "verbatim", "push", "protocol-in-a-push", "replies", "attributes"],
)
def test_a_value_is_written_in_both_versions_of_the_protocol(value: Value, resp2: bytes, resp3: bytes) -> None:
    assert [encode(value), encode(value, 3)] == [resp2, resp3]

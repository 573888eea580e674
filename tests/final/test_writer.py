"""The writer's types that no stage has; `stages/03-writer/test_checkpoint.py` is about the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from final.protocol.writer import (
    NULL_ARRAY,
    SHORT,
    Attributed,
    BigNumber,
    Push,
    Replies,
    Strings,
    Value,
    Verbatim,
    encode,
)

STRINGS = st.sampled_from([b"", b"a", b"\r\n", b"$1", *(length * b"x" for length in range(SHORT - 2, SHORT + 2))])
ITEMS = st.one_of(STRINGS, st.sampled_from([1, None, "OK", Verbatim(b"text"), [b"b"]]))


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


@given(
    st.one_of(
        st.lists(STRINGS, max_size=40),
        st.lists(ITEMS, max_size=40),
        st.lists(st.binary(min_size=3, max_size=3), max_size=40),
        st.lists(st.just(b"x" * SHORT), max_size=40),
    ),
    st.sampled_from([2, 3]),
)
def test_many_items_are_written_as_if_one_by_one(items: list[Value], protocol: int) -> None:
    one_by_one = b"*%d\r\n" % len(items) + b"".join(encode(item, protocol) for item in items)
    assert encode(items, protocol) == one_by_one
    if all(type(item) is bytes for item in items):
        assert encode(Strings(items), protocol) == one_by_one
    keys = dict.fromkeys(item for item in items if type(item) is bytes).keys()
    assert encode(keys, protocol) == encode(list(keys), protocol).replace(b"*", b"~" if protocol == 3 else b"*", 1)

"""Applies the options about the encodings of collections."""

from dataclasses import fields

from ..config.options import Options
from ..data.packing import LIMITS, Limits
from ..data.store import Store

NAMES = [each.name for each in fields(Limits) if each.name != "lowered"]


def limit_packing(options: Options, stores: list[Store]) -> None:
    """Apply the present options. The values keep their encodings."""
    chosen = {name: getattr(options, name) for name in NAMES}
    if chosen == {name: getattr(LIMITS, name) for name in NAMES}:
        return
    before = [each.encodings() for each in stores]
    LIMITS.lowered = LIMITS.lowered or any(before)  # also by an earlier change
    vars(LIMITS).update(chosen)
    for store, encodings in zip(stores, before, strict=True):
        store.keep_encodings(encodings)

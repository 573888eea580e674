"""Client-side caching: CLIENT TRACKING and what belongs to it. `engine/tracking.py` keeps who has read what."""

from collections.abc import Iterable, Sequence

from ..engine.args import OptionCursor
from ..engine.client import Client, Tracker
from ..engine.command import LOADING, NOSCRIPT, STALE
from ..engine.context import Engine
from ..engine.signature import command
from ..protocol.errors import ReplyError, syntax_error
from ..protocol.writer import Value
from .clients import GROUP as GROUP

FLAGS = (NOSCRIPT, LOADING, STALE)


@command(*FLAGS, of="client")
def client_tracking(engine: Engine, client: Client, status: bytes, *options: bytes) -> Value:
    """CLIENT TRACKING <ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]: turn on messages about changes of keys that the client has read, or off.

    The options are REDIRECT client-id, PREFIX prefix (with BCAST, as often as wanted), BCAST, OPTIN, OPTOUT, NOLOOP.
    """  # noqa: E501  (the first line is what redis-cli shows)
    wanted, prefixes = parse(engine, options)
    if status.lower() == b"off":
        engine.tracking.stop(client)
    elif status.lower() == b"on":
        check(wanted, prefixes, client.tracking)
        if wanted.bcast:
            wanted.prefixes |= dict.fromkeys(prefixes or [b""])
        engine.tracking.start(client, wanted)
    else:
        raise syntax_error()
    return "OK"


def parse(engine: Engine, options: Sequence[bytes]) -> tuple[Tracker, list[bytes]]:
    """Parse the options of CLIENT TRACKING; return them, and the prefixes."""
    wanted, prefixes = Tracker(), list[bytes]()
    cursor = OptionCursor(options)
    for option in cursor:
        match option:
            case b"redirect" if len(cursor):
                if wanted.redirect:
                    raise ReplyError("ERR A client can only redirect to a single other client")
                wanted.redirect = cursor.integer()
                if wanted.redirect not in engine.clients:
                    raise ReplyError("ERR The client ID you want redirect to does not exist")
            case b"prefix" if len(cursor):
                prefixes.append(cursor.value())
            case b"bcast":
                wanted.bcast = True
            case b"optin":
                wanted.optin = True
            case b"optout":
                wanted.optout = True
            case b"noloop":
                wanted.noloop = True
            case _:
                raise syntax_error()
    return wanted, prefixes


def check(wanted: Tracker, prefixes: list[bytes], before: Tracker | None) -> None:
    """Raise a ReplyError if options contradict each other, or those that the client has now; take over its prefixes."""
    if prefixes and not wanted.bcast:
        raise ReplyError("ERR PREFIX option requires BCAST mode to be enabled")
    if before is not None and before.bcast is not wanted.bcast:
        raise cannot_switch("BCAST mode on/off")
    if wanted.bcast and (wanted.optin or wanted.optout):
        raise ReplyError("ERR OPTIN and OPTOUT are not compatible with BCAST")
    if wanted.optin and wanted.optout:
        raise ReplyError("ERR You can't specify both OPTIN mode and OPTOUT mode")
    if before is not None:
        if (wanted.optin and before.optout) or (wanted.optout and before.optin):
            raise cannot_switch("OPTIN/OPTOUT mode")
        wanted.prefixes, wanted.caching = {**before.prefixes}, before.caching and (wanted.optin or wanted.optout)
    check_overlap(prefixes, wanted.prefixes)


def cannot_switch(mode: str) -> ReplyError:
    """Return the error for an option that a client cannot change while it tracks."""
    return ReplyError(
        f"ERR You can't switch {mode} before disabling tracking for this client, and then re-enabling it with "
        "a different mode."
    )


def check_overlap(prefixes: list[bytes], present: Iterable[bytes]) -> None:
    """Raise a ReplyError if one of these prefixes begins with another one of them, or of the present ones, or is it.

    In sorted order, all that begins with a prefix follows it.
    """
    ordered = sorted([*prefixes, *present])
    overlapping, shortest = set[bytes](), ordered[:1]
    for prefix in ordered[1:]:
        if prefix.startswith(shortest[0]):
            overlapping |= {prefix, *shortest}
        else:
            shortest = [prefix]
    for at, prefix in enumerate(prefixes):
        if prefix in overlapping:
            for other in sorted(present):
                if other.startswith(prefix) or prefix.startswith(other):
                    raise overlap(prefix, "an existing prefix", other)
            for other in prefixes[at + 1 :]:
                if other.startswith(prefix) or prefix.startswith(other):
                    raise overlap(prefix, "another provided prefix", other)


def overlap(prefix: bytes, which: str, other: bytes) -> ReplyError:
    """Return the error for two prefixes that overlap."""
    one, two = (each.split(b"\0")[0].decode(errors="surrogateescape") for each in (prefix, other))
    return ReplyError(
        f"ERR Prefix '{one}' overlaps with {which} '{two}'. Prefixes for a single client must not overlap."
    )


@command(*FLAGS, of="client")
def client_caching(client: Client, mode: bytes) -> Value:
    """CLIENT CACHING <YES | NO>: track the keys of the next request or transaction (with OPTIN), or do not (OPTOUT)."""
    tracker = client.tracking
    if tracker is None:
        raise ReplyError(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode "
            "enabled"
        )
    match mode.lower():
        case b"yes" if not tracker.optin:
            raise ReplyError("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
        case b"no" if not tracker.optout:
            raise ReplyError("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
        case b"yes" | b"no":
            tracker.caching = True
        case _:
            raise syntax_error()
    return "OK"


@command(*FLAGS, of="client")
def client_getredir(client: Client) -> Value:
    """CLIENT GETREDIR: answer with the ID of the client that is sent this one's messages; 0: itself; -1: none is."""
    return client.tracking.redirect if client.tracking is not None else -1


@command(*FLAGS, of="client")
def client_trackinginfo(client: Client) -> Value:
    """CLIENT TRACKINGINFO: answer with how the client tracks: flags, redirect and prefixes."""
    tracker = client.tracking
    if tracker is None:
        return {b"flags": {b"off"}, b"redirect": -1, b"prefixes": []}
    flags = {
        b"on": True,
        b"bcast": tracker.bcast,
        b"optin": tracker.optin,
        b"caching-yes": tracker.optin and tracker.caching,
        b"optout": tracker.optout,
        b"caching-no": tracker.optout and tracker.caching,
        b"noloop": tracker.noloop,
        b"broken_redirect": tracker.broken,
    }
    shown = {flag: None for flag, is_set in flags.items() if is_set}
    return {b"flags": shown.keys(), b"redirect": tracker.redirect, b"prefixes": sorted(tracker.prefixes)}

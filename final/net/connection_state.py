"""The states of a connection, as one table: what becomes of a client's next request.

The table is about executing only. Two facts are independent of it, and the connection keeps them beside its state:
whether the client is `choked`, as it does not read our replies, and since when its output is over the soft limit.
"""

from enum import Enum


class State(Enum):
    """What becomes of the client's next request."""

    READY = "it is executed when it comes"
    RUNNING = "requests of this client are being executed"
    QUEUED = "it waits for the client's turn"
    ENDING = "it waits for the client's turn, and the client has sent EOF"
    BLOCKED = "it waits behind a command that waits for a key"
    PAUSED = "it waits until CLIENT PAUSE is over"
    CLOSING = "it is not executed"

    __hash__ = object.__hash__  # Enum's own is slower


class Event(Enum):
    """What changes the state."""

    RUN = "bytes have come in time, or it is the client's turn"
    DONE = "no complete request is left, or the client is choked"
    LATER = "requests are left, but the client's share of this iteration, or its time, is used up"
    DRAINED = "the client has read the replies that choked it"
    BLOCK = "a command waits for a key"
    UNBLOCK = "the command that waited is answered"
    PAUSE = "CLIENT PAUSE holds the next request"
    UNPAUSE = "the pause is over"
    EOF = "the client will send no more"
    CLOSE = "the client has said QUIT, has gone, or is cut off"

    __hash__ = object.__hash__


READY, RUNNING, QUEUED, ENDING, BLOCKED, PAUSED, CLOSING = State
RUN, DONE, LATER, DRAINED, BLOCK, UNBLOCK, PAUSE, UNPAUSE, EOF, CLOSE = Event

TRANSITIONS = {  # an event that is not named for a state changes nothing
    READY: {RUN: RUNNING, LATER: QUEUED, DRAINED: QUEUED, EOF: CLOSING, CLOSE: CLOSING},
    RUNNING: {DONE: READY, LATER: QUEUED, BLOCK: BLOCKED, PAUSE: PAUSED, CLOSE: CLOSING},
    QUEUED: {RUN: RUNNING, EOF: ENDING, CLOSE: CLOSING},
    ENDING: {RUN: RUNNING, CLOSE: CLOSING},
    BLOCKED: {UNBLOCK: QUEUED, EOF: CLOSING, CLOSE: CLOSING},
    PAUSED: {UNPAUSE: QUEUED, EOF: CLOSING, CLOSE: CLOSING},
    CLOSING: {},
}
NEXT = {state: {event: row.get(event, state) for event in Event} for state, row in TRANSITIONS.items()}

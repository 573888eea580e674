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

    __hash__ = object.__hash__  # in C: Enum's own is in Python


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


TRANSITIONS = {
    State.READY: {
        Event.RUN: State.RUNNING,
        Event.LATER: State.QUEUED,
        Event.DRAINED: State.QUEUED,
        Event.EOF: State.CLOSING,
        Event.CLOSE: State.CLOSING,
    },
    State.RUNNING: {
        Event.DONE: State.READY,
        Event.LATER: State.QUEUED,
        Event.BLOCK: State.BLOCKED,
        Event.PAUSE: State.PAUSED,
        Event.CLOSE: State.CLOSING,
    },
    State.QUEUED: {
        Event.RUN: State.RUNNING,
        Event.EOF: State.ENDING,
        Event.CLOSE: State.CLOSING,
    },
    State.ENDING: {
        Event.RUN: State.RUNNING,
        Event.CLOSE: State.CLOSING,
    },
    State.BLOCKED: {
        Event.UNBLOCK: State.QUEUED,
        Event.EOF: State.CLOSING,  # at once, else it would be served with an element that is lost
        Event.CLOSE: State.CLOSING,
    },
    State.PAUSED: {
        Event.UNPAUSE: State.QUEUED,
        Event.EOF: State.CLOSING,
        Event.CLOSE: State.CLOSING,
    },
    State.CLOSING: {},
}


def after(state: State, event: Event) -> State:
    """Return the next state. An event that the table does not name for a state changes nothing.

    >>> after(State.BLOCKED, Event.UNBLOCK).name, after(State.CLOSING, Event.UNBLOCK).name
    ('QUEUED', 'CLOSING')
    """
    return TRANSITIONS[state].get(event, state)

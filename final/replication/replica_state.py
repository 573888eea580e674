"""The states of a replica's connection to its primary, as one table (`REPL_STATE_…` in `server.h`)."""

from enum import Enum


class State(Enum):
    """How far the replica has come. The second part of a value is what ROLE calls the state."""

    WAITING = "there is no connection; `tick` opens the next one", "connect"
    CONNECTING = "a connection is being opened", "connecting"
    INTRODUCING = "requests of the handshake are sent, one after the other", "handshake"
    ASKING = "PSYNC is sent: the primary will say how it goes on", "handshake"
    EXPECTING = "a full synchronisation: the snapshot has not begun to come", "sync"
    RECEIVING = "the snapshot comes, and is written to a file", "sync"
    LOADING = "the snapshot is complete, and is loaded beside the present data", "sync"
    CONNECTED = "the primary's changes are executed as they come", "connected"
    OVER = "the server has another primary, or is none's replica any more", "none"

    @property
    def role(self) -> bytes:
        """What ROLE calls the state."""
        return self.value[1].encode()


class Event(Enum):
    """What changes the state."""

    DIAL = "a connection is to be opened"
    OPENED = "the primary has accepted the connection"
    INTRODUCED = "the primary has answered all requests of the handshake"
    FULL = "the primary will send all its data (FULLRESYNC)"
    CONTINUE = "the primary will send what is missing (CONTINUE)"
    HEADER = "the first line of the snapshot is there"
    RECEIVED = "the snapshot is complete"
    LOADED = "the snapshot is loaded"
    BROKEN = "the connection is closed, or what came over it made no sense"
    LEFT = "REPLICAOF: this primary is not followed any more"


WAITING, CONNECTING, INTRODUCING, ASKING, EXPECTING, RECEIVING, LOADING, CONNECTED, OVER = State
DIAL, OPENED, INTRODUCED, FULL, CONTINUE, HEADER, RECEIVED, LOADED, BROKEN, LEFT = Event

TRANSITIONS = {  # an event that is not named for a state is a fault of this server
    WAITING: {DIAL: CONNECTING, LEFT: OVER},
    CONNECTING: {OPENED: INTRODUCING, BROKEN: WAITING, LEFT: OVER},
    INTRODUCING: {INTRODUCED: ASKING, BROKEN: WAITING, LEFT: OVER},
    ASKING: {FULL: EXPECTING, CONTINUE: CONNECTED, BROKEN: WAITING, LEFT: OVER},
    EXPECTING: {HEADER: RECEIVING, BROKEN: WAITING, LEFT: OVER},
    RECEIVING: {RECEIVED: LOADING, BROKEN: WAITING, LEFT: OVER},
    LOADING: {LOADED: CONNECTED, BROKEN: WAITING, LEFT: OVER},
    CONNECTED: {BROKEN: WAITING, LEFT: OVER},
    OVER: {},
}

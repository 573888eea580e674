"""A proxy that a test cuts: connections through it end with RST, or hang."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from types import TracebackType

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class Proxy:
    """Forwards connections to a port of this machine. `port` is its own."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pairs: dict[socket.socket, socket.socket] = {}
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.lock = threading.Lock()
        self.passed = 0  # bytes, in both directions
        self.ending = False
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self) -> Proxy:
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.ending = True
        self.thread.join()
        self.cut()
        self.listener.close()

    def run(self) -> None:
        """Forward what comes."""
        while not self.ending:
            for key, _ in self.selector.select(0.05):
                with self.lock:
                    self.forward(key.fileobj)  # type: ignore[arg-type]

    def forward(self, source: socket.socket) -> None:
        """Accept a connection, or pass on what one side has sent."""
        try:
            if source is self.listener:
                accepted, _ = source.accept()
                other = socket.create_connection(("127.0.0.1", self.target), 10)
                for each, peer in ((accepted, other), (other, accepted)):
                    self.pairs[each] = peer
                    self.selector.register(each, selectors.EVENT_READ)
                return
            data = source.recv(1 << 16)
            if not data:
                raise ConnectionError
            self.pairs[source].sendall(data)
            self.passed += len(data)
        except OSError:
            if source in self.pairs:
                self.end(source)

    def end(self, source: socket.socket) -> None:
        """Close both sides of a connection, with RST."""
        for each in (source, self.pairs[source]):
            self.selector.unregister(each)
            del self.pairs[each]
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            each.close()

    def cut(self) -> None:
        """Break all connections."""
        with self.lock:
            while self.pairs:
                self.end(next(iter(self.pairs)))

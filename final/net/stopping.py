"""Hears SIGINT and SIGTERM in a thread of its own, so that the server ends in time, whatever a command does.

Python runs a signal handler in the main thread, between two of its own steps. So a handler waits as long as Lua
searches for a pattern, and the event loop as long as a command runs. A thread waits for neither: Python takes turns
between threads, and lupa lets others have Python's lock while Lua runs.
"""

import os
import signal
import threading
import time
from collections.abc import Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LATEST = 0.95  # seconds after the signal


def on_signal(ask: Callable[[], float], leave: Callable[[], None]) -> None:
    """Begin to listen. At a signal, `ask` asks for an orderly end, and gives the seconds for it; then `leave`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    threading.Thread(target=listen, args=[ask, leave], daemon=True).start()


def listen(ask: Callable[[], float], leave: Callable[[], None]) -> None:
    """What the thread does."""
    signal.sigwait(SIGNALS)
    signal.setitimer(signal.ITIMER_REAL, LATEST)  # SIGALRM ends the process, should we not come to do so
    try:
        time.sleep(ask())
        leave()
    finally:
        os._exit(0)


def forget_signals() -> None:
    """In a child process: let signals end it."""
    signal.set_wakeup_fd(-1)  # signals must not reach the server's event loop, whose files the child shares
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

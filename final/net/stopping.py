"""Waits for SIGINT and SIGTERM in a thread, so that the server stops in time, whatever a command does.

Python runs a signal handler in the main thread, between two bytecode instructions. So a handler waits while Lua
searches for a pattern, and the event loop waits while a command runs. A thread waits for neither: Python switches
between threads, and lupa releases the global interpreter lock while Lua runs.
"""

import os
import signal
import threading
import time
from collections.abc import Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LATEST = 0.95  # seconds after the signal at which the process ends, whatever happens


def on_signal(ask: Callable[[], float | None], leave: Callable[[], None]) -> None:
    """Start the thread. At a signal it calls `ask`, which begins a clean stop and returns its seconds; then `leave`.

    If the seconds are None, the stop takes as long as it takes, and the thread waits for the next signal.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    threading.Thread(target=listen, args=[ask, leave], daemon=True).start()


def listen(ask: Callable[[], float | None], leave: Callable[[], None]) -> None:
    """Wait for a signal, then end the process: this is what the thread runs."""
    try:
        while True:
            signal.sigwait(SIGNALS)
            signal.setitimer(signal.ITIMER_REAL, LATEST)  # SIGALRM ends the process if `leave` does not
            seconds = ask()
            if seconds is not None:
                break
            signal.setitimer(signal.ITIMER_REAL, 0)
        time.sleep(seconds)
        leave()
    finally:
        os._exit(0)


def forget_signals() -> None:
    """In a child process: let signals end it."""
    signal.set_wakeup_fd(-1)  # signals must not reach the server's event loop, whose files the child shares
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

"""Keyspace notifications (`notify.c`): what happened to keys, published on channels."""

from ..config.options import Options
from ..data.events import messages
from ..data.unit import Note
from .command import Command
from .counters import Counters
from .pubsub import PubSub


class Notifications:
    """Publishes the events of notes, if `notify-keyspace-events` asks for them."""

    def __init__(self, options: Options, pubsub: PubSub, counters: Counters) -> None:
        self.options = options
        self.pubsub = pubsub
        self.counters = counters

    def publish(self, note: Note, command: Command | None = None) -> None:
        """Publish a note's event, once; `command` is the one that made the note, None where a key has expired."""
        self.counters.expired += note.event == "expired"
        if setting := self.options.notify_keyspace_events:
            event = note.event or (command.name if command else "")
            group = command.group.letter if command else "g"
            for key in note.keys:
                for channel, message in messages(setting, note.store.index, key, event, group):
                    self.pubsub.publish(channel, message)
        note.event = None

"""Joins pieces of an answer that come faster than they are read, so that whoever waits for them wakes less often.

Every piece that is sent takes a core from the engine for as long as its reader needs; with a small model that costs
more of its speed than drawing tokens does.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from deploy.engine.protocol import Event, Text, Thinking

EVERY_S: Final = 0.03
"""Pieces are sent no more often, once they come quickly. Screens show what comes some ten times a second."""
RECENT: Final = 8
QUICK_S: Final = 0.01
"""Pieces come quickly when the last few took no longer than this on average; a slower one is sent at once."""


def gathered(events: Iterator[Event], clock: Callable[[], float] = time.perf_counter) -> Iterator[Event]:
    """The same events, with pieces of one channel joined. Nothing waits longer than for the next event."""
    held: Text | Thinking | None = None
    sent_at = -math.inf
    times: deque[float] = deque([-math.inf] * RECENT, maxlen=RECENT)
    for event in events:
        if not isinstance(event, (Text, Thinking)):
            yield from () if held is None else (held,)
            held = None
            yield event
            continue
        if held is not None and type(held) is not type(event):
            yield held
            held = None
        held = event if held is None else type(event)(held.text + event.text, held.tokens + event.tokens)
        now = clock()
        quick = now - times[0] <= RECENT * QUICK_S
        times.append(now)
        if not quick or now >= sent_at + EVERY_S:
            yield held
            held, sent_at = None, now
    yield from () if held is None else (held,)

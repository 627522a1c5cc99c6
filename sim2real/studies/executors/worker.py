"""A worker of a study: `python -m sim2real.studies.executors.worker MODULE:FUNCTION LOG`.

Reads one cell a line from stdin and writes one outcome a line to stdout, both JSON. What the work
prints goes to the log. The process ends when stdin is closed, as its
parent has ended then.
"""

from __future__ import annotations

import io
import json
import os
import queue
import signal
import sys
import threading

from sim2real.studies.executors.executor import attempt, function


def main(work: str, log: str) -> None:
    """Serve until stdin is closed."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(waiting,), daemon=True).start()
    answers = os.fdopen(os.dup(1), "w")
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the process may end without flushing
    do = function(work)
    while True:
        print(json.dumps(attempt(do, json.loads(waiting.get()))), file=answers, flush=True)


def _read(waiting: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        waiting.put(line)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

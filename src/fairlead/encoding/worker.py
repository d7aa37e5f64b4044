"""A worker process: reads chunks of records from its standard input and writes their rows to its output.

run  python -m fairlead.encoding.worker      (by `worker_pool.py`, which explains the exchange)

It ends when its input ends, so it outlives no parent.
"""

import os
import pickle
import signal
import sys
from typing import BinaryIO

from fairlead.encoding.worker_pool import outcome


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends workers
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not become part of a result
    try:
        serve(sys.stdin.buffer, results)
    except (EOFError, BrokenPipeError):  # the parent has ended
        os._exit(0)


def serve(chunks: BinaryIO, results: BinaryIO) -> None:
    encoder, encode, max_tokens = pickle.load(chunks)
    while True:
        records = pickle.load(chunks)
        outcomes = [outcome(encoder, encode, record, max_tokens) for record in records]
        pickle.dump(outcomes, results, protocol=pickle.HIGHEST_PROTOCOL)
        results.flush()


if __name__ == "__main__":
    main()

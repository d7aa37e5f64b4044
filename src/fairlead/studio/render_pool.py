"""Renders Markdown in a few worker processes, so that a slow text keeps no other request waiting.

A worker that takes longer than the limit is killed, and its text is shown unformatted.  The workers start
when they are needed, and end with the server.
"""

import atexit
import contextlib
import os
import struct
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO

WORKER = "fairlead.studio.render_worker"  # the program of a worker process
NUM_WORKERS = 2
LENGTH = struct.Struct(">I")  # of a message between the processes: so many bytes of UTF-8 follow
LIMIT_S = 10.0  # for one text; the slowest text of the largest size takes 3 s of an idle processor


def read(stream: IO[bytes]) -> str | None:
    """The next text; None at the end."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    body = stream.read(length)
    return body.decode("utf-8", "surrogatepass") if len(body) == length else None


def write(stream: IO[bytes], text: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    stream.write(LENGTH.pack(len(body)) + body)
    stream.flush()


class Job:
    """One text: waiting, being rendered, or done.

    The result is None if it took too long or was cancelled.
    """

    def __init__(self) -> None:
        self.result: Future[str | None] = Future()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_cancelled = False

    def cancel(self) -> None:
        """Do not render the text, or kill the worker that does."""
        with self._lock:
            self._is_cancelled = True
            if self._process is not None:
                self._process.kill()

    def begin(self, process: "subprocess.Popen[bytes]") -> bool:
        with self._lock:
            if not self._is_cancelled:
                self._process = process
            return not self._is_cancelled

    def end(self) -> None:
        with self._lock:
            self._process = None


class RenderPool:
    def __init__(self, num_workers: int = NUM_WORKERS, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._threads = ThreadPoolExecutor(num_workers, thread_name_prefix="render")
        self._mine = threading.local()  # each thread has one process
        self._processes: set[subprocess.Popen[bytes]] = set()

    def submit(self, text: str) -> Job:
        job = Job()
        self._threads.submit(self._run, job, text)
        return job

    def close(self) -> None:
        """End the workers; what they render is given up."""
        for process in list(self._processes):
            process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for process in list(self._processes):
            self._end(process)

    def _run(self, job: Job, text: str) -> None:
        html = None
        try:
            html = self._render(job, text)
        finally:
            job.result.set_result(html)

    def _render(self, job: Job, text: str) -> str | None:
        process = self._worker()
        if not job.begin(process):
            return None
        timer = threading.Timer(self._limit_s, process.kill)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdin is not None and process.stdout is not None, "opened with pipes"
            write(process.stdin, text)
            html = read(process.stdout)
        except OSError:
            html = None
        finally:
            timer.cancel()
            job.end()
        if html is None:  # the worker was killed
            self._end(process)
        return html

    def _worker(self) -> "subprocess.Popen[bytes]":
        process: subprocess.Popen[bytes] | None = getattr(self._mine, "process", None)
        if process is None or process.poll() is not None:
            if process is not None:
                self._end(process)
            process = subprocess.Popen(
                [sys.executable, "-m", WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
            self._mine.process = process
            self._processes.add(process)
        return process

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        self._processes.discard(process)
        process.kill()
        with contextlib.suppress(OSError):  # a text that it has not read
            process.communicate()


_shared: RenderPool | None = None
_starting = threading.Lock()


def shared() -> RenderPool:
    """The pool of this process."""
    global _shared
    with _starting:
        if _shared is None:
            _shared = RenderPool()
            atexit.register(_shared.close)
        return _shared

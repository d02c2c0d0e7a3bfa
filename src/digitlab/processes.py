"""Processes: what may hold or kill a process is done in another one, which is warm, bounded, and replaced when over.

A document of a few hundred bytes can keep PDFium busy for hours or take all memory, and so can a model of somebody
else's. Nothing stops that from inside. So files from outside are opened in processes of their own: each does one job
after the other and hands over a result at a time, and what takes too long, or too much memory, ends the process and not
more. docs/decisions/0012-what-is-read-apart.md says what is done so.
"""

from __future__ import annotations

import atexit
import importlib
import io
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from weakref import WeakSet

from digitlab.errors import DigitlabError

if TYPE_CHECKING:
    from numpy.typing import NDArray


# A machine with much else to do gives a process little time, and what it does is not to depend on that; so the limit
# is one of processor time, and the clock's is wider. Windows knows the clock alone.
_CLOCK = 6.0
_HAS_TIMERS = hasattr(signal, "setitimer")
_PIPE_BYTES = 2**20  # so that a photo goes over in few pieces
_LAST_S = 5.0  # between a process closing its pipe and its end
_START_S = 300.0  # on a machine where nobody has read yet the kernels are compiled first
_LENGTHS = struct.Struct("<QII")
_LEAST_CONTENT = 2**16  # bytes of a file that are worth leaving out of a pickle
_ITEM, _END, _ERROR, _MEMORY, _UNFORESEEN = range(5)
_ALL: WeakSet[Processes] = WeakSet()
_is_apart = False


class EndedError(DigitlabError):
    """The processes were ended while something was done in them, because nobody waits for it any more."""


class UnforeseenError(Exception):
    """An error in digitlab itself, in another process; the message has its kind."""


def is_apart() -> bool:
    """Whether this process is one that works for another one."""
    return _is_apart


class Processes:
    """Processes that do one job after the other; safe to call from any thread.

    They are begun when they are needed, at most ``most``, the second not before the first is warm. A result may take
    ``seconds`` of processor time, and six times as long by the clock; each process so much memory, which is held on
    Linux. ``ready``, a function of a module of digitlab, is called in each before that counts. Who makes it a class of
    their own says what was given up, and what to do.
    """

    #: What they do, in a sentence.
    does = "works apart"

    def __init__(self, most: int, seconds: float, memory_bytes: int, ready: Callable[[], None]) -> None:
        self.most, self.seconds, self.memory_bytes = most, seconds, memory_bytes
        self._ready = f"{ready.__module__}:{ready.__name__}"
        self._changed = threading.Condition()
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()
        self._n_starting = 0
        self._is_proven = self._is_closed = False
        self._failure: Exception | None = None
        _ALL.add(self)

    def too_late(self, source: str, n: int) -> DigitlabError:
        """Return the error for what took too long, after ``n`` results."""
        return DigitlabError(f"{source} was given up: it takes more than {self.seconds:g} seconds of work.")

    def too_large(self, source: str, n: int) -> DigitlabError:
        """Return the error for what took too much memory, or ended the process, after ``n`` results."""
        return DigitlabError(f"{source} was given up: it takes more than {self.memory_bytes / 2**30:g} GB of memory.")

    def start(self) -> None:
        """Begin the first process before it is needed; returns at once."""
        with self._changed:
            if not (self._idle or self._busy or self._n_starting or self._is_closed):
                self._begin()

    def wait(self) -> None:
        """Wait until the first process is warm; errors as ``each``."""
        self._give_back(self._take(()), is_whole=True)

    def each(
        self, function: Callable[..., Iterable[Any]], *arguments: Any, source: str, keys: Sequence[int] = ()
    ) -> Iterator[Any]:
        """Call a function of a module of digitlab in a process, and hand over what it yields, one by one.

        The process that was given one of ``keys`` lately does it, if it is free. ``source`` is what the file is called.
        Raises ``too_late`` or ``too_large`` if a result took too long or too much memory or ended the process, what the
        function has raised if that is a DigitlabError, UnforeseenError for anything else, and EndedError if ``close``
        was called meanwhile.
        """
        process = self._take(keys)
        is_whole = False
        try:
            process.send((function, arguments, self.seconds, self._clock_s))
            n = 0
            while True:
                kind, result = process.receive(self._clock_s)
                if kind == _END:
                    is_whole = True
                    return
                if kind == _ITEM:
                    yield result
                    n += result is not None
                    continue
                is_whole = kind in (_ERROR, _UNFORESEEN)
                raise self._told(kind, result, source, n)
        except (OSError, EOFError):
            code = process.end(_LAST_S)
            raise self._told_of_end(code, process.was_late, source, n) from None
        finally:
            self._give_back(process, is_whole)

    def call(self, function: Callable[..., Any], *arguments: Any, source: str, keys: Sequence[int] = ()) -> Any:
        """Call a function in a process and return what it returns; as ``each``."""
        [result] = self.each(_once, function, arguments, source=source, keys=keys)
        return result

    def close(self) -> None:
        """End all processes at once, whatever they are doing."""
        with self._changed:
            self._is_closed = True
            idle, busy = self._idle, list(self._busy)
            self._idle = []
            self._changed.notify_all()
        for process in busy:
            process.kill()  # whoever waits for it sees that, and puts it away
        for process in idle:
            process.end()

    @property
    def _clock_s(self) -> float:
        return self.seconds * (_CLOCK if _HAS_TIMERS else 1)

    def _take(self, keys: Sequence[int]) -> _Process:
        with self._changed:
            while True:
                if self._is_closed:
                    raise EndedError(f"What {self.does} has been ended.")
                for process in [process for process in self._idle if not process.is_alive]:
                    self._idle.remove(process)
                    process.end()
                if self._idle:
                    # The last one that was used is the warmest.
                    known = [process for process in self._idle if not process.keys.isdisjoint(keys)]
                    process = known[0] if known else self._idle[-1]
                    self._idle.remove(process)
                    self._busy.add(process)
                    process.keys = set(keys) or process.keys
                    return process
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
                n = len(self._busy) + self._n_starting
                if n == 0 or (self._is_proven and n < self.most and not self._n_starting):
                    self._begin()
                self._changed.wait()

    def _begin(self) -> None:
        self._n_starting += 1
        threading.Thread(target=self._start, name="digitlab-apart", daemon=True).start()

    def _start(self) -> None:
        process = None
        try:
            process = _Process(self.memory_bytes, self._ready)
            process.receive(_START_S)
        except (OSError, EOFError) as error:
            reason = error if process is None else f"exit code {process.end(_LAST_S)}"
            self._failure = UnforeseenError(f"A process that {self.does} could not be started: {reason}")
            process = None
        with self._changed:
            self._n_starting -= 1
            if process is not None:
                self._is_proven = True
                self._idle.append(process)
            is_closed = self._is_closed
            self._changed.notify_all()
        if is_closed and process is not None:
            process.end()

    def _give_back(self, process: _Process, is_whole: bool) -> None:
        if not is_whole or process.was_late:
            process.end()
        with self._changed:
            self._busy.discard(process)
            if process.is_alive and not self._is_closed:
                self._idle.append(process)
            elif not self._is_closed:
                self._begin()  # so that the next one does not wait for it
            self._changed.notify_all()

    def _told(self, kind: int, result: Any, source: str, n: int) -> Exception:
        if kind == _ERROR:
            assert isinstance(result, DigitlabError)
            return result
        if kind == _MEMORY:
            return self.too_large(source, n)
        return UnforeseenError(str(result))

    def _told_of_end(self, code: int | None, was_late: bool, source: str, n: int) -> Exception:
        if self._is_closed:
            return EndedError(f"What {self.does} has been ended.")
        if was_late or (_HAS_TIMERS and code in (-signal.SIGPROF, -signal.SIGALRM)):
            return self.too_late(source, n)
        return self.too_large(source, n)


def _once(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Iterator[Any]:
    yield function(*arguments)


class _Process:
    """One process, from the side of who asks it."""

    def __init__(self, memory_bytes: int, ready: str) -> None:
        home = str(Path(__file__).parents[1])
        paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
        # -P: what lies in the folder where somebody works is never imported.
        command = [sys.executable, "-P", "-c", "from digitlab.processes import _work; _work()"]
        self._popen = subprocess.Popen(
            [*command, str(memory_bytes), ready],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pipesize=_PIPE_BYTES,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
        self.keys: set[int] = set()
        self.was_late = False

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def send(self, message: Any) -> None:
        assert self._popen.stdin is not None
        _write(self._popen.stdin, message, _Pickler)

    def receive(self, seconds: float) -> Any:
        """Wait for a message; the process is ended if none comes."""
        assert self._popen.stdout is not None
        timer = threading.Timer(seconds, self._end_late)
        timer.daemon = True
        timer.start()
        try:
            return _read(self._popen.stdout)
        finally:
            timer.cancel()

    def kill(self) -> None:
        self._popen.kill()

    def end(self, seconds: float = 0.0) -> int:
        """End it, if it does not end by itself within so long, and return its exit code.

        For who sends and receives, or where nobody does.
        """
        if seconds:
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(seconds)
        self._popen.kill()
        for pipe in (self._popen.stdin, self._popen.stdout):
            assert pipe is not None
            with suppress(OSError):  # what could not be sent any more
                pipe.close()
        return self._popen.wait()

    def _end_late(self) -> None:
        self.was_late = True
        self._popen.kill()


class _Pickler(pickle.Pickler):
    """Leaves out what a file holds, which pickle would copy. It looks at every value, so results do without."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.contents: list[bytes] = []

    def persistent_id(self, value: Any) -> int | None:
        if type(value) is not bytes or len(value) < _LEAST_CONTENT:
            return None
        self.contents.append(value)
        return len(self.contents) - 1


class _Unpickler(pickle.Unpickler):
    contents: Sequence[bytes] = ()

    def persistent_load(self, pid: Any) -> Any:
        return self.contents[pid]


def _write(file: IO[bytes], message: Any, kind: type[pickle.Pickler] = pickle.Pickler) -> None:
    # Arrays and what files hold are written as they lie in memory, without a copy.
    buffers: list[pickle.PickleBuffer] = []
    head = io.BytesIO()
    pickler = kind(head, 5, buffer_callback=buffers.append)
    pickler.dump(message)
    contents = pickler.contents if isinstance(pickler, _Pickler) else []
    parts: list[memoryview | bytes] = [*(buffer.raw() for buffer in buffers), *contents]
    file.write(_LENGTHS.pack(head.tell(), len(buffers), len(contents)))
    file.write(struct.pack(f"<{len(parts)}Q", *map(len, parts)))
    file.write(head.getbuffer())
    for part in parts:
        file.write(part)
    file.flush()


def _read(file: IO[bytes]) -> Any:
    import numpy as np  # not by who only prints help

    n_bytes, n_views, n_contents = _LENGTHS.unpack(_exactly(file, _LENGTHS.size))
    sizes = struct.unpack(f"<{n_views + n_contents}Q", _exactly(file, 8 * (n_views + n_contents)))
    head = _exactly(file, n_bytes)
    # Not bytearrays, which would be filled with zeros first.
    buffers = [_filled(file, np.empty(size, np.uint8)) for size in sizes[:n_views]]
    unpickler = _Unpickler(io.BytesIO(head), buffers=buffers)
    unpickler.contents = [_exactly(file, size) for size in sizes[n_views:]]
    return unpickler.load()


def _exactly(file: IO[bytes], n_bytes: int) -> bytes:
    content = file.read(n_bytes)
    if len(content) < n_bytes:
        raise EOFError
    return content


def _filled(file: IO[bytes], content: NDArray[Any]) -> NDArray[Any]:
    view, n = content.data, 0
    while n < len(content):
        read = file.readinto(view[n:])  # type: ignore[attr-defined]
        if not read:
            raise EOFError
        n += read
    return content


def _close_all() -> None:
    for processes in tuple(_ALL):
        processes.close()


# A process also ends by itself when nobody can ask it any more; but then Python complains of one that still runs.
atexit.register(_close_all)


# ---- in the process itself ----


def limit_memory(n_bytes: int) -> None:
    """Let this process have no more memory of its own than so much, where the system can."""
    if sys.platform == "linux":
        import resource

        # A process of a process that is bounded itself has no more than that.
        most = resource.getrlimit(resource.RLIMIT_DATA)[1]
        n_bytes = n_bytes if most == resource.RLIM_INFINITY else min(n_bytes, most)
        resource.setrlimit(resource.RLIMIT_DATA, (n_bytes, n_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _work() -> None:
    """Do what is asked for until nobody asks any more."""
    global _is_apart
    _is_apart = True
    memory_bytes = int(sys.argv[1])
    # Ctrl-C and SIGTERM are for who asks, and reach the whole group: what was begun is still answered.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    module, _, ready = sys.argv[2].partition(":")
    getattr(importlib.import_module(module), ready)()

    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):  # libraries complain there of damaged files
        os.dup2(nowhere, descriptor)
    limit_memory(memory_bytes)
    with suppress(EOFError, BrokenPipeError):
        _write(outgoing, (_ITEM, None))
        while True:
            _do(outgoing, *_read(incoming))


def _do(outgoing: IO[bytes], function: Callable[..., Any], arguments: Any, seconds: float, clock_s: float) -> None:
    end: tuple[int, Any] = (_END, None)
    try:
        _allow(seconds, clock_s)
        for result in function(*arguments):
            _allow(0, 0)
            _write(outgoing, (_ITEM, result))
            _allow(seconds, clock_s)
    except DigitlabError as error:
        end = (_ERROR, error)
    except BrokenPipeError:
        raise
    except Exception as error:
        is_memory = isinstance(error, MemoryError) or "Insufficient memory" in str(error)
        end = (_MEMORY, None) if is_memory else (_UNFORESEEN, f"{type(error).__name__}: {error}")
    _allow(0, 0)
    _write(outgoing, end)


def _allow(seconds: float, clock_s: float) -> None:
    """Let the system end this process after so long, whatever it is doing then, and though who asked has ended."""
    if _HAS_TIMERS:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, clock_s + 1 if clock_s else 0)

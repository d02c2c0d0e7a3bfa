"""How kernels are compiled, and where the compiled code is kept.

Numba notices a change of the file that a kernel stands in, but not of the files whose kernels it calls. So the
folder's name holds a digest of *all* kernel sources, of the library versions and of the vector width: code from
another version of digitlab can never be picked up, and reinstalling the same version only costs one compilation.
"""

from __future__ import annotations

import atexit
import gc
import hashlib
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock

from digitlab.data.cache import cache_folder
from digitlab.data.storage import read_ordinary, replacing
from digitlab.engine.cpu.tiles import LANES

_CHECKSUMS = "checksums"
_MOST_BYTES = 2**26  # of a file of code: the largest have some 2 MB

# error_model="numpy": no test for a division by zero inside the loops. _nrt=False: kernels allocate nothing, so no
# code for counting references, which makes compiling a fifth faster. no_rewrites: kernels hold no expressions of whole
# arrays, which is what Numba would look for.
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "_nrt": False,
    "no_cfunc_wrapper": True,
    "no_rewrites": True,
}

_config: Any = numba.config
_HAS_SAVED = threading.Event()


def _digest() -> str:
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {np.__version__} {LANES}".encode())
    engine = Path(__file__).parents[1]
    for source in [*sorted(engine.glob("*/*.py")), engine / "crops.py", engine / "optimizers.py"]:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _checksums(folder: Path) -> dict[str, str]:
    """Return the checksum of every file of code by its name; empty where it is no ordinary file."""
    checksums = {}
    for file in sorted(folder.rglob("*.nb[ic]")):
        try:
            checksum = f"{zlib.crc32(read_ordinary(file, _MOST_BYTES)):08x}"
        except (OSError, ValueError):
            checksum = ""
        checksums[str(file.relative_to(folder))] = checksum
    return checksums


def _listed(folder: Path) -> str:
    try:
        return read_ordinary(folder / _CHECKSUMS, _MOST_BYTES).decode(errors="replace")
    except (OSError, ValueError):
        return ""


def _checked_folder() -> Path | None:
    # Damaged machine code would crash the process, so whatever is not as it was sealed is thrown away.
    home = cache_folder()
    if home is None:
        return None
    folder = home / "kernels" / _digest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sealed = {name: crc for crc, _, name in (line.partition(" ") for line in _listed(folder).splitlines())}
        for name, checksum in _checksums(folder).items():
            if not checksum or sealed.get(name) != checksum:
                (folder / name).unlink(missing_ok=True)
    except OSError:
        return None
    return folder


_FOLDER = _checked_folder()


def seal_cache() -> None:
    """Write down the checksums of the compiled code, so that damage is noticed at the next start.

    Where this process has compiled nothing since the last call, nothing is read or written.
    """
    if _FOLDER is None or not _HAS_SAVED.is_set():
        return
    _HAS_SAVED.clear()
    try:
        text = "".join(f"{crc} {name}\n" for name, crc in _checksums(_FOLDER).items())
        if _listed(_FOLDER) == text:
            return
        with replacing(_FOLDER / _CHECKSUMS, durable=False) as file:
            file.write(text.encode())
    except OSError:
        return  # without the list the code is compiled again next time, nothing worse


# For whatever was compiled after the last call: a process that only predicts makes none.
atexit.register(seal_cache)


class _Part(JITCodeLibrary):
    """The instructions of a kernel: optimised and made machine code only as part of an entry point, once.

    Numba would do both for every kernel by itself, which nobody calls, and again within everybody who calls it.
    """

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that only other kernels call; it becomes part of them."""
    compiled = _compile(function, no_cpython_wrapper=True)
    compile_anyhow = compiled.compile

    def compile_as_part(signature: Any) -> Any:
        codegen = compiled.targetctx.codegen()
        with global_compiler_lock:
            before, codegen._library_class = codegen._library_class, _Part
            codegen.set_env = lambda name, env: None  # nobody calls it from Python
            try:
                return compile_anyhow(signature)
            finally:
                if before is not _Part:
                    del codegen._library_class, codegen.set_env

    compiled.compile = compile_as_part
    return compiled


def entry_point(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, and keep its machine code for the next process."""
    before = _config.CACHE_DIR
    _config.CACHE_DIR = "" if _FOLDER is None else str(_FOLDER)
    try:
        compiled = _compile(function, cache=_FOLDER is not None)
    finally:
        _config.CACHE_DIR = before
    _compile_quickly(compiled)
    if _FOLDER is not None:
        _save_if_possible(compiled)
    return compiled


def _compile_quickly(compiled: Any) -> None:
    # The tiles leave little for LLVM to find: its lowest level makes code that is as fast, in two thirds of the time.
    compile_anyhow, lowest = compiled.compile, type(_config.OPT)(1)

    def compile_at_lowest_level(signature: Any) -> Any:
        with global_compiler_lock:
            before, _config.OPT = _config.OPT, lowest
            was_collecting = gc.isenabled()
            gc.disable()  # compiling makes objects by the million, all of which stay until it is done
            try:
                return compile_anyhow(signature)
            finally:
                _config.OPT = before
                if was_collecting:
                    gc.enable()

    compiled.compile = compile_at_lowest_level


def _save_if_possible(compiled: Any) -> None:
    # Numba has no setting for it: a full disk costs the next process a compilation, not this one its result.
    save = compiled._cache.save_overload

    def save_quietly(signature: Any, data: Any) -> None:
        _HAS_SAVED.set()
        with suppress(OSError):
            save(signature, data)

    compiled._cache.save_overload = save_quietly


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    # Numba's annotations do not know all of its options.
    njit: Any = numba.njit
    return njit(**_OPTIONS, **options)(function)

# SPDX-License-Identifier: Apache-2.0
"""A process of its own for files of strangers, so that a parser's fault ends the child and nothing else.

The child limits itself before it reads a byte: memory (`RLIMIT_AS`), processor time and no core file. Where these
limits are not known, the time that its parent waits is the limit. It runs isolated (`python -I`), so neither the folder
it is started in nor the environment says what it imports.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from labeling.errors import LabelError

_PRELUDE: Final = """
import sys
sys.path.insert(0, sys.argv[1])
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[3]),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except ImportError:
    pass
from {module} import answer_child
answer_child()
"""
_PACKAGES: Final = str(Path(__file__).resolve().parent.parent)


def child_command(module: str, *, memory_bytes: int, cpu_s: int) -> list[str]:
    """The command that limits itself and then calls ``answer_child()`` of ``module``, one of ours."""
    code = _PRELUDE.format(module=module)
    return [sys.executable, "-I", "-c", code, _PACKAGES, str(memory_bytes), str(max(1, cpu_s))]


def ask_child(module: str, data: bytes, *, doing: str, timeout_s: float, memory_bytes: int) -> bytes:
    """What the child of ``module`` answers to ``data``.

    ``doing`` completes "the file could not be ...". Raises :class:`LabelError` where the child runs out of time or
    memory or dies.
    """
    try:
        run = subprocess.run(
            child_command(module, memory_bytes=memory_bytes, cpu_s=int(timeout_s)),
            input=data,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            # Threads of linear algebra would reserve memory that the limit counts.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise LabelError(f"the file could not be {doing} within {timeout_s:g} seconds") from None
    if run.returncode != 0:
        raise LabelError(f"the file could not be {doing}: the parser stopped with status {run.returncode}")
    return run.stdout

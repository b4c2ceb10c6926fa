# SPDX-License-Identifier: Apache-2.0
"""Errors of the labeling package, one class for each thing that the reader can do about it.

Every function of the package that fails raises :class:`LabelError` or a subclass and nothing else.
A message states the fact, what was expected and the next step. It never repeats content: a label's values,
a file's bytes and a model's text stay out of errors and therefore out of logs.
"""

from __future__ import annotations

import struct
from typing import Final

DECODER_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    struct.error,
    EOFError,
    OverflowError,
    TypeError,
    KeyError,
    IndexError,
    RuntimeError,
    ZeroDivisionError,
    Warning,
)
"""What Pillow's decoders raise for broken images; the last where a process turns warnings into errors."""


class LabelError(Exception):
    """A label could not be made, written or read. Nothing unlabelled may be passed on after it."""


class UnsupportedFormat(LabelError):
    """No label can be put into this kind of file; convert it or send it with a sidecar."""


class DamagedFile(LabelError):
    """The file is not what its first bytes say, ends early or contradicts itself; ask its maker for a sound one."""


class RefusedFile(LabelError):
    """The file is sound but must not be touched or read: signed, encrypted, or beyond a limit; see the message."""


class LabelNotVerified(LabelError):
    """The label was written, but reading it back gave something else; the file must not be given out."""

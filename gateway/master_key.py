# SPDX-License-Identifier: Apache-2.0
"""Where the master key of sealed bodies comes from: the data folder, the environment, or a key service.

    [audit] master_key = "file" | "env:NAME" | "hook:MODULE:FUNCTION"

The environment variable holds the 32 bytes in base64. A hook is a function of the operator's own, importable by name
and called without arguments once a process: it asks a key service and returns the 32 bytes, for example by having the
service decrypt a blob that lies beside the configuration. What must hold: the key is in no message, whatever fails.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from importlib import import_module

from audit_log.errors import LogNotInitialised, LogRefused
from gateway.settings import SettingsError, secret

KEY_BYTES = 32


def key_source(said: str) -> Callable[[], bytes] | None:
    """What reads the key that `audit.master_key` names; None for the data folder's own file.

    What it gives is checked; it raises `LogNotInitialised` or `LogRefused`.
    """
    kind, _, rest = said.partition(":")
    if kind == "env":
        return lambda: _checked(_of_environment(rest))
    if kind == "hook":
        return lambda: _checked(_of_hook(rest))
    return None


def _of_environment(name: str) -> bytes:
    try:
        text = secret(name, "audit.master_key").get_secret_value()
    except SettingsError as error:
        raise LogNotInitialised(str(error)) from None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise LogRefused(f"environment variable {name} does not hold {KEY_BYTES} bytes in base64") from None


def _of_hook(name: str) -> object:
    module, _, function = name.partition(":")
    try:
        hook = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise LogNotInitialised(f"audit.master_key: {name} cannot be imported: {type(error).__name__}") from None
    try:
        found: object = hook()
    except Exception as error:  # whatever a key service's library raises, its words may hold anything
        raise LogRefused(f"{name} failed with {type(error).__name__}; see to the key service") from None
    return found


def _checked(key: object) -> bytes:
    if not isinstance(key, bytes) or len(key) != KEY_BYTES:
        raise LogRefused(f"the master key is not {KEY_BYTES} bytes; check audit.master_key")
    return key

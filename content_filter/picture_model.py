# SPDX-License-Identifier: Apache-2.0
"""A picture classifier of the operator's own, as an ONNX file. None is shipped; `onnxruntime` must be installed.

The model takes one picture as float32 of shape (1, 3, height, width), RGB from 0 to 1, or normalised by `mean` and
`deviation`, and gives one row of scores, one for each class that the operator names in order; `-` is a harmless output.
Scores that are no shares (not from 0 to 1 and adding up to 1) go through a softmax.

What must hold: a model whose inputs or outputs do not fit is refused when it is loaded, not when a picture comes.
"""

from __future__ import annotations

import hashlib
import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from content_filter.errors import FilterError
from content_filter.filter import Outcome, Verdict
from content_filter.roles import Role
from content_filter.taxonomy import CLASSES

if TYPE_CHECKING:
    from PIL.Image import Image

HARMLESS = "-"
_FULL_BP = 10_000
_USUAL_SIDE = 224
_CHANNELS = 3


class PictureModel:
    """An ONNX model as a check. Safe between threads; each call uses one."""

    name = "picture_model"

    def __init__(
        self,
        path: str | Path,
        classes: Sequence[str],
        *,
        block_bp: int = 8_000,
        flag_bp: int = 5_000,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        deviation: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        """Raises `FilterError` where the runtime is missing, or the file is no model of this shape."""
        if unknown := {code for code in classes if code != HARMLESS} - CLASSES.keys():
            raise FilterError(f"{len(unknown)} unknown class codes for the outputs of the picture model")
        try:
            onnxruntime: Any = importlib.import_module("onnxruntime")
        except ImportError:
            raise FilterError("a picture model needs onnxruntime; install it beside the gateway") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            data = Path(path).read_bytes()
            self._session: Any = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except OSError as error:
            raise FilterError(f"{path}: the model cannot be read ({error.strerror or 'unknown error'})") from error
        except Exception:  # the runtime has an error class for each of its states, none of them public
            raise FilterError(f"{path}: not an ONNX model that this runtime can use") from None
        self.digest = hashlib.sha256(data).hexdigest()
        self._classes, self._block_bp, self._flag_bp = tuple(classes), block_bp, flag_bp
        self._mean = np.array(mean, np.float32).reshape(1, _CHANNELS, 1, 1)
        self._deviation = np.array(deviation, np.float32).reshape(1, _CHANNELS, 1, 1)
        first = self._session.get_inputs()[0]
        shape = first.shape
        if len(shape) != 4 or shape[1] not in (_CHANNELS, None) or first.type != "tensor(float)":
            raise FilterError(f"{path}: expected a model that takes float32 of shape (1, 3, height, width)")
        self._input = first.name
        self._height, self._width = (side if isinstance(side, int) else _USUAL_SIDE for side in shape[2:])
        row = self._scores(np.zeros((1, _CHANNELS, self._height, self._width), np.float32))
        if len(row) != len(self._classes):
            raise FilterError(f"{path}: the model has {len(row)} outputs, and {len(self._classes)} classes are named")

    def judge(self, picture: Image, role: Role) -> Verdict:
        """The likeliest of the classes that are no harmless ones."""
        small = picture.resize((self._width, self._height), 2)
        values = np.asarray(small, np.float32).transpose(2, 0, 1)[None] / 255
        row = self._scores(((values - self._mean) / self._deviation).astype(np.float32))
        harmful = [(score, code) for score, code in zip(row, self._classes, strict=True) if code != HARMLESS]
        score, code = max(harmful, default=(0.0, ""))
        score_bp = round(_FULL_BP * score)
        if not code or score_bp < self._flag_bp:
            return Verdict(Outcome.PASS, role)
        outcome = Outcome.BLOCK if score_bp >= self._block_bp else Outcome.FLAG
        return Verdict(outcome, role, code, f"{self.name}:{code}", 0, 0, score_bp)

    def _scores(self, values: Any) -> list[float]:
        try:
            row = np.asarray(self._session.run(None, {self._input: values})[0], np.float64).reshape(-1)
        except Exception:  # see above
            raise FilterError("the picture model gave no scores") from None
        if not np.isfinite(row).all():
            raise FilterError("the picture model gave scores that are no numbers")
        if row.size and (row.min() < 0 or row.max() > 1 or not math.isclose(float(row.sum()), 1, abs_tol=1e-3)):
            raised = np.exp(row - row.max())
            row = raised / raised.sum()
        return [float(value) for value in row]

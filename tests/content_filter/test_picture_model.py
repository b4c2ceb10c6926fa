# SPDX-License-Identifier: Apache-2.0
"""A picture classifier from an ONNX file, as an operator would bring one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from content_filter import FilterError, Outcome, Role
from content_filter.picture_model import PictureModel


def model(
    path: Path, *, side: int | None = 8, softmax: bool = True, outputs: int = 3, kind: int = TensorProto.FLOAT
) -> Path:
    """A model that scores how red, green and blue a picture is."""
    size: int | str = side if side is not None else "side"
    weights = np.zeros((3, outputs), np.float32)
    np.fill_diagonal(weights, 12.0)
    nodes = [
        helper.make_node("GlobalAveragePool", ["picture"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["scores"], axis=1))
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("picture", kind, [1, 3, size, size])],
        [helper.make_tensor_value_info("scores" if softmax else "logits", kind, [1, outputs])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("side", [8, None])
def test_the_likeliest_class_is_reported(tmp_path: Path, softmax: bool, side: int | None) -> None:
    """Whether the model gives shares or logits, and whatever size it wants."""
    check = PictureModel(model(tmp_path / "m.onnx", side=side, softmax=softmax), ["A1f", "A1d", "-"])
    red = check.judge(Image.new("RGB", (30, 20), "#ff0000"), Role.PROMPT)
    assert (red.verdict, red.class_code, red.rule, red.role) == (Outcome.BLOCK, "A1f", "picture_model:A1f", Role.PROMPT)
    assert red.score_bp > 9_900
    mixed = check.judge(Image.new("RGB", (30, 20), "#00ff00").point(lambda value: value // 1), Role.ANSWER)
    assert mixed.class_code == "A1d"
    assert check.judge(Image.new("RGB", (30, 20), "#0000ff"), Role.PROMPT).verdict is Outcome.PASS


def test_the_thresholds_are_the_operator_s(tmp_path: Path) -> None:
    """Between them a finding is noted."""
    path = model(tmp_path / "m.onnx")
    picture = Image.new("RGB", (8, 8), "#604020")
    for block_bp, flag_bp, expected in (
        (7_000, 5_000, Outcome.BLOCK), (9_000, 5_000, Outcome.FLAG), (9_500, 9_000, Outcome.PASS),
    ):  # fmt: skip
        check = PictureModel(path, ["A1f", "-", "-"], block_bp=block_bp, flag_bp=flag_bp)
        assert check.judge(picture, Role.PROMPT).verdict is expected


def test_mean_and_deviation_are_applied(tmp_path: Path) -> None:
    """As the model was trained with."""
    check = PictureModel(model(tmp_path / "m.onnx"), ["A1f", "A1d", "-"], mean=(1, 0, 0), deviation=(1, 1, 1))
    assert check.judge(Image.new("RGB", (8, 8), "#ff8000"), Role.PROMPT).class_code == "A1d"


def test_a_model_that_does_not_fit_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    """Not when a picture comes."""
    fine = model(tmp_path / "fine.onnx")
    (tmp_path / "none.onnx").write_bytes(b"no model")
    for path, classes in (
        (fine, ["A1f"]), (fine, ["A1f", "Z9", "-"]), (tmp_path / "none.onnx", ["-"]), (tmp_path / "missing", ["-"]),
        (model(tmp_path / "double.onnx", kind=TensorProto.DOUBLE, softmax=False), ["-", "-", "-"]),
    ):  # fmt: skip
        with pytest.raises(FilterError):
            PictureModel(path, classes)


def test_without_the_runtime_the_next_step_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime is no dependency of ours."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(FilterError, match="install"):
        PictureModel(model(tmp_path / "m.onnx"), ["-", "-", "-"])

# SPDX-License-Identifier: Apache-2.0
"""How long the filter takes for a text, and how much memory it needs: `python -m bench.filter`.

One thread, no network. Prints one JSON object: microseconds (median and 99th percentile) for the classifier alone, for
the judge over all readings, and for term matching and judge together with 10,000 terms; and megabytes of memory that
the classifier takes. Where the second encoder is installed: what it takes for a text that it is asked about, too.
"""

import json
import os
import random
import resource
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is imported

from content_filter import ContentFilter, TermSet
from content_filter.classifier import Classifier
from content_filter.judge import TextJudge
from content_filter.second_encoder import Second

_ZH = "请问周末去北京旅游怎么安排两天的时间比较合适，我们想看看博物馆和公园，也想吃一点当地的小吃。"
_EN = "Could you explain how photosynthesis works and why leaves turn yellow in autumn, please? "
_DISGUISED = "请-问-周-末-去-哪-里-玩-比-较-好，"
_ROUNDS = 400


def _text(part: str, characters: int) -> str:
    return (part * (characters // len(part) + 1))[:characters]


def _timed(call: Callable[[str], object], text: str) -> dict[str, float]:
    for _ in range(20):
        call(text)
    took = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter_ns()
        call(text)
        took.append((time.perf_counter_ns() - begun) / 1e3)
    took.sort()
    return {"p50_us": round(took[len(took) // 2], 1), "p99_us": round(took[len(took) * 99 // 100], 1)}


def _terms(count: int) -> TermSet:
    draw = random.Random(1)
    words: set[str] = set()
    while len(words) < count:
        words.add("".join(chr(draw.randint(0x4E00, 0x9000)) for _ in range(draw.randint(4, 6))))
    return TermSet.of(*((word, "A1a") for word in sorted(words)))


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measures and prints."""
    before_mb = _memory_mb()
    classifier = Classifier.load()
    judge = TextJudge(classifier)
    judge.judge(_ZH)
    loaded_mb = _memory_mb()
    terms = ContentFilter(_terms(10_000))
    found: dict[str, object] = {}
    for characters in (50, 200, 800):
        for name, part in (("zh", _ZH), ("en", _EN)):
            text = _text(part, characters)
            found[f"classifier {name} {characters}"] = _timed(classifier.judge, text)
            found[f"judge {name} {characters}"] = _timed(judge.judge, text)

    def whole(text: str) -> None:
        terms.check_text(text, "prompt")
        judge.judge(text)

    for name, part in (("zh", _ZH), ("en", _EN), ("zh disguised", _DISGUISED)):
        found[f"10,000 terms and judge {name} 200"] = _timed(whole, _text(part, 200))
    memory = {"classifier and tables": round(loaded_mb - before_mb, 1), "process": round(_memory_mb(), 1)}
    second = Classifier.load(second=Second.AUTO).second
    if second is not None:
        for characters in (20, 50, 200):
            for name, part in (("zh", _ZH), ("en", _EN)):
                timed = _timed(lambda text: second.logits([text]), _text(part, characters))
                found[f"second encoder {name} {characters}"] = timed
        memory["process with the second encoder"] = round(_memory_mb(), 1)
    found["memory_mb"] = memory
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

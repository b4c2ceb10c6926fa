# SPDX-License-Identifier: Apache-2.0
"""What the content filter costs at 10,000 terms: CPU a stream event, CPU a whole text, building, memory.

Usage: python bench/guard.py [--json] [--terms N]. Microseconds of CPU of one thread, the best of five rounds; compare
runs on one machine only. The cost of an event must not depend on the length so far (target: at most 20 microseconds for
three characters). Terms and texts are made from a fixed seed; the Chinese ones from common characters, with
punctuation that normalisation changes.
"""

import argparse
import json
import random
import time
import tracemalloc
from collections.abc import Callable
from functools import partial

from content_filter import ContentFilter, TermSet
from content_filter.normalise import normalise

ROUNDS = 5
_HAN = (
    "的一是了我不在人们有来他这上着个地到大里说就去子得也和那要下看天时过出小么起你都把好还多没为又可家学"
    "只以主会样年想生同老中十从自面前头道它后然走很像见两用她国动进成回什边作对开而己些现山民候经发工向事"
    "命给长水几义三声于高手知理眼志点心战二问但身方实吃做叫当住听革打呢真全才四已所敌之最光产情路分总条白"
    "话东席次亲如被花口放儿常气五第使写军吧文运再果怎定许快明行因别飞外树物活部门无往船望新带队先力完却站"
    "代员机更九您每风级跟笑啊孩万少直意夜比阶连车重便斗马哪化太指变社似士者干石满日决百原拿群究各六本思解"
    "立河村八难早论吗根共让相研今其书坐接应关信觉步反处记将千找争领或师结块跑谁草越字加脚紧爱等习阵怕月青"
    "半火法题建赶位唱海七女任件感准张团屋离色脸片科倒睛利世刚且由送切星导晚表够整认响雪流未场该并底深刻平"
    "伟忙提确近亮轻讲农古黑告界拉名呀土清阳照办史改历转画造嘴此治北必服雨穿内识验传业菜爬睡兴形量咱观苦体"
    "众通冲合破友度术饭公旁房极南枪读沙岁线野坚空收算至政城劳落钱特围弟胜教热展包歌类渐强数乡呼性音答哥际"
    "旧神座章帮啦受系令跳非何牛取入岸敢掉忽种装顶急林停息句区衣般报叶压慢叔背细"
)
_SYLLABLES = ("ba", "ko", "ri", "tan", "sel", "mo", "du", "ven", "pra", "lis", "gar", "ne", "fi", "hul", "zen", "ster")


def _words(generator: random.Random, count: int) -> list[str]:
    """Half Chinese terms of 3 to 8 characters, half English of 2 to 5 syllables; none twice."""
    words: set[str] = set()
    while len(words) < count:
        if len(words) % 2:
            words.add("".join(generator.choices(_HAN, k=generator.randint(3, 8))))
        else:
            words.add("".join(generator.choices(_SYLLABLES, k=generator.randint(2, 5))) + generator.choice("xyq"))
    return sorted(words)


def _chinese(generator: random.Random, length: int) -> str:
    marked = (
        generator.choice(_HAN) if generator.random() > 0.1 else generator.choice("，。！？") for _ in range(length)
    )
    return "".join(marked)


def _english(generator: random.Random, length: int) -> str:
    words = ("".join(generator.choices(_SYLLABLES, k=generator.randint(1, 3))) for _ in range(length))
    return " ".join(word.capitalize() for word in words)[:length]


def _best_us(call: Callable[[], object], calls: int) -> float:
    """CPU microseconds of one call, the best of the rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.thread_time()
        for _ in range(calls):
            call()
        best = min(best, time.thread_time() - begin)
    return best / calls * 1e6


def _event_us(judge: ContentFilter, text: str, before: int, events: int = 3000) -> float:
    """CPU microseconds of feeding three characters after `before` characters."""
    pieces = [text[at : at + 3] for at in range(before, before + 3 * events, 3)]
    best = float("inf")
    for _ in range(ROUNDS):
        guard = judge.guard()
        for at in range(0, before, 1000):
            guard.feed(text[at : at + 1000])
        begin = time.thread_time()
        for piece in pieces:
            guard.feed(piece)
        best = min(best, time.thread_time() - begin)
        if guard.close().match is not None:
            raise SystemExit("the benchmark's text contains a term; change the seed")
    return best / events * 1e6


def _guard_whole(judge: ContentFilter, text: str) -> None:
    judge.guard().feed(text)


def _clean(judge: ContentFilter, text: str) -> str:
    """The text without the terms that chance put in it."""
    while (match := judge.matcher.find(text)) is not None:
        text = text[: match.start] + "。" + text[match.end :]
    return text


def measure(count: int) -> dict[str, float]:
    """All figures by name; the unit is the end of the name."""
    generator = random.Random(20261121)
    entries = [(word, "A1h") for word in _words(generator, count)]
    normalise("预热")  # the tables of the normal form are made once a process
    begin = time.perf_counter()
    terms = TermSet.of(*entries)
    parsed = time.perf_counter()
    judge = ContentFilter(terms)
    built = time.perf_counter()
    tracemalloc.start()
    again = ContentFilter(terms)
    compiled_bytes, _ = tracemalloc.get_traced_memory()
    guards = [judge.guard() for _ in range(1000)]
    guard_bytes = tracemalloc.get_traced_memory()[0] - compiled_bytes
    tracemalloc.stop()
    del again, guards

    results: dict[str, float] = {
        "terms": len(terms),
        "nodes": len(judge.matcher.automaton.labels),
        "parse_ms": (parsed - begin) * 1e3,
        "compile_ms": (built - parsed) * 1e3,
        "automaton_mb": compiled_bytes / 1e6,
        "guard_bytes": guard_bytes / 1000,
    }
    for language, make in (("chinese", _chinese), ("english", _english)):
        text = _clean(judge, make(generator, 115_000))
        for before in (0, 10_000, 100_000):
            results[f"event_{language}_after_{before}_us"] = _event_us(judge, text, before)
        prompt = text[: 2048 // len(text[0].encode())]
        results[f"normalise_{language}_2kb_us"] = _best_us(partial(normalise, prompt), 1000)
        results[f"find_{language}_2kb_us"] = _best_us(partial(judge.matcher.find, prompt), 1000)
        results[f"guard_whole_{language}_2kb_us"] = _best_us(partial(_guard_whole, judge, prompt), 500)
    return results


def main() -> None:
    """Prints the figures as a table, or as JSON."""
    parser = argparse.ArgumentParser(description="Cost of the content filter.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--terms", type=int, default=10_000, help="number of terms (default 10000)")
    options = parser.parse_args()
    results = measure(options.terms)
    if options.json:
        print(json.dumps({name: round(value, 3) for name, value in results.items()}))
        return
    for name, value in results.items():
        print(f"{name:36} {value:12.2f}")


if __name__ == "__main__":
    main()

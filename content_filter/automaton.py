# SPDX-License-Identifier: Apache-2.0
"""An Aho-Corasick automaton whose state can be kept between the events of a stream.

The engine that scans whole texts (`matcher`) cannot stop in the middle of a text and go on later, nor say how long the
pending partial match is; this one can. It is built once for a term set and shared, read-only, by all guards.

Compact form (A. Aho, M. Corasick, "Efficient string matching", 1975; nodes numbered in preorder): a node with one
child needs no table, its child is the next number and `labels` says by which character; only branching nodes and
leaves have a dictionary. 10,000 terms take a few megabytes.

What must hold: `walk` below describes the only legal way to use the tables; a state is always a node with children,
that is, the longest suffix of the text so far that is a *proper* prefix of some pattern.
"""

from array import array
from collections.abc import Sequence

ROOT = 0


class Automaton:
    """Tables of the automaton for `patterns`: pairs of a non-empty text and whether its partial match must be held.

    Patterns are strictly increasing (sorted, none twice). The index of a pattern in the sequence names it in `outputs`.
    """

    __slots__ = ("branches", "depth", "fail", "held", "labels", "outputs", "settle", "widest")

    labels: str
    """Character on the edge into each node; the root's is a placeholder."""
    branches: dict[int, dict[str, int]]
    """Children of the root, of leaves (none) and of nodes with several. Any other node `n` has one child, `n + 1`."""
    fail: "array[int]"
    """Where to go on when a node has no child for the character: always a node with children, or the root."""
    settle: "array[int]"
    """The state after arriving at a node: itself if it has children, else its nearest suffix that has."""
    depth: "array[int]"
    """Characters on the way from the root: for a state, the length of the partial match."""
    held: "array[int]"
    """For each node, the length of its longest suffix that is a proper prefix of a pattern to be held; 0 if none."""
    outputs: dict[int, tuple[tuple[int, int], ...]]
    """Patterns that end at a node, longest first, as (pattern index, length); nodes at which none ends are absent."""
    widest: int
    """Length of the longest pattern; 0 if there is none."""

    def __init__(self, patterns: Sequence[tuple[str, bool]]) -> None:
        labels = ["\0"]
        parent = array("i", [ROOT])
        depth = array("i", [0])
        holds = bytearray(1)  # 1 where a pattern to be held goes on below the node
        branches: dict[int, dict[str, int]] = {ROOT: {}}
        terminal: dict[int, int] = {}
        path = [ROOT]  # nodes of the previous pattern
        last = ""
        for index, (text, is_held) in enumerate(patterns):
            if text <= last:
                raise ValueError("patterns must be non-empty and strictly increasing")
            shared = 0
            while shared < len(last) and last[shared] == text[shared]:
                shared += 1
            del path[shared + 1 :]
            for char in text[shared:]:
                node, above = len(labels), path[-1]
                if above in branches:
                    branches[above][char] = node
                elif above + 1 < node:  # a second child: from now on the node needs a table
                    branches[above] = {labels[above + 1]: above + 1, char: node}
                labels.append(char)
                parent.append(above)
                depth.append(depth[above] + 1)
                holds.append(0)
                path.append(node)
            terminal[path[-1]] = index
            if is_held:
                for node in path[:-1]:
                    holds[node] = 1
            last = text

        count = len(labels)
        for node in terminal:
            if node + 1 == count or parent[node + 1] != node:
                branches[node] = {}
        self.labels = "".join(labels)
        self.branches = branches
        self.depth = depth
        self.widest = max(depth)
        self.fail = fail = array("i", bytes(4 * count))
        self.settle = settle = array("i", bytes(4 * count))
        self.held = held = array("i", bytes(4 * count))
        outputs: dict[int, tuple[tuple[int, int], ...]] = {}
        self.outputs = outputs
        # By depth: everything said about a node's suffixes is known before the node is reached.
        for node in sorted(range(1, count), key=depth.__getitem__):
            above = parent[node]
            suffix = self._child(fail[above], labels[node]) if above != ROOT else ROOT
            fail[node] = settle[suffix]
            settle[node] = node if branches.get(node) != {} else settle[suffix]
            held[node] = depth[node] if holds[node] else held[suffix]
            found = outputs.get(suffix, ())
            if node in terminal:
                found = ((terminal[node], depth[node]), *found)
            if found:
                outputs[node] = found

    def _child(self, state: int, char: str) -> int:
        """The node that one character leads to from a state; the root if to none."""
        while True:
            row = self.branches.get(state)
            if row is not None:
                node = row.get(char, ROOT)
            elif self.labels[state + 1] == char:
                node = state + 1
            else:
                node = ROOT
            if node != ROOT or state == ROOT:
                return node
            state = self.fail[state]

    def walk(self, state: int, char: str) -> tuple[int, tuple[tuple[int, int], ...]]:
        """Takes one character: the next state, and the patterns that end with it as in `outputs`."""
        node = self._child(state, char)
        return self.settle[node], self.outputs.get(node, ())

"""Which of many films may show the same picture: 256-bit hashes, and an index that finds close ones without all pairs.

The hash says on which side of the corpus' median each of the 256 lowest cosine coefficients of a film lies, grey
levels first replaced by their ranks. So a change of window, size or encoding moves few bits; a mirrored or inverted
film has the same coefficients with other signs, a turned one has them transposed too; and a film cut by up to 5 % of a
side is met by asking for each film as if cut itself: 16 windows x mirrored or not x inverted or not = 64 *looks*, and
12 of whole films: turned by 90, 180 or 270 degrees x mirrored or not x inverted or not. Thumbs are square, whatever
the shape of a store, so that a turned film is the turned thumb.

The index is locality-sensitive hashing (Indyk and Motwani, 1998): in each of 16 tables films meet that agree in one
random choice of low coefficients, the more of them the more films there are. Thumbs: Zauner, 2010 (pHash, of 64 bits).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from muscle.data.film import shrink

SIDE = 64  # of a thumb, in pixels
BITS = 256
TABLES = 16
LOW = 100  # of the lowest coefficients, the tables choose among these: the others move when a film is cut
CUT = 0.05  # of a side, the most that may be cut off
NEAR = 48  # bits in which two hashes of one picture differ at most; see benchmarks/audit.py
FULL = (
    256  # films of one bucket that a look is compared with: more meet only where a picture occurs that often
)
FEW = 32  # films up to which every pair is a candidate, for the median of a few means little

_SPANS = ((0.0, 1.0), (0.0, 1 - CUT), (CUT, 1.0), (CUT / 2, 1 - CUT / 2))  # of a side: whole, or cut
_WHOLE = np.ones((SIDE, SIDE), np.uint8)
_WAVES = 19  # frequencies a side, so that the 256 lowest are among them
_CHUNK = 128  # films whose looks are in memory together

Thumbs = NDArray[np.uint8]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def _windows() -> Floats:
    """Cosines over the four spans of an axis, [4 * _WAVES, SIDE]."""
    edge, place = np.arange(SIDE + 1) / SIDE, (np.arange(SIDE) + 0.5) / SIDE
    found = []
    for a, b in _SPANS:
        share = np.clip(np.minimum(edge[1:], b) - np.maximum(edge[:-1], a), 0, None) / (b - a)
        phase = np.clip((place - a) / (b - a), 0, 1)
        found.append(np.cos(np.pi * np.arange(_WAVES)[:, None] * phase) * share)
    return np.concatenate(found).astype(np.float32)


_COSINES = _windows()
_ORDER = np.argsort(np.hypot(*np.mgrid[:_WAVES, :_WAVES]).ravel(), kind="stable")[1 : BITS + 1]
_MIRROR = np.where(_ORDER % _WAVES % 2, -1, 1).astype(np.float32)  # odd waves along x change their sign
_SIGNS = np.stack([np.ones(BITS, np.float32), _MIRROR, -np.ones(BITS, np.float32), -_MIRROR])
_UPSIDE = np.where(_ORDER // _WAVES % 2, -1, 1).astype(np.float32)  # odd waves along y, upside down
_ACROSS = _ORDER % _WAVES * _WAVES + _ORDER // _WAVES  # where the waves of the transposed film are
_CUTS = len(_SPANS) ** 2 * len(_SIGNS)
LOOKS = _CUTS + 3 * len(_SIGNS)


@dataclass(frozen=True, slots=True)
class Look:
    """How a film was changed before it met the other: window (y0, y1, x0, x1) as shares of the sides.

    ``turns`` by 90 degrees to the left come first, then ``mirrored``, left for right.
    """

    window: tuple[float, float, float, float]
    mirrored: bool
    inverted: bool
    turns: int = 0

    @classmethod
    def of(cls, number: int) -> Look:
        """The look of a number: sign fastest, then the window along x, along y; then the turns of whole films."""
        sign, turns = number % 4, max(0, number - _CUTS + 4) // 4
        y, x = (_SPANS[0], _SPANS[0]) if turns else (_SPANS[number // 16], _SPANS[number // 4 % 4])
        return cls((*y, *x), sign in (1, 3), sign >= 2, turns)


def thumbs(images: Sequence[NDArray[np.uint8]]) -> Thumbs:
    """[N, SIDE, SIDE] uint8 of images of any sizes."""
    return np.stack([shrink(np.ascontiguousarray(image), (SIDE, SIDE)) for image in images])


def tones(some: Thumbs) -> Floats:
    """Grey levels replaced by their mean rank within the film, -0.5 to 0.5; [n, SIDE, SIDE] float32."""
    n = len(some)
    flat = some.reshape(n, -1).astype(np.int64)
    counts = np.bincount((flat + 256 * np.arange(n)[:, None]).ravel(), minlength=256 * n).reshape(n, 256)
    ranks = (np.cumsum(counts, axis=1) - counts / 2) / flat.shape[1] - 0.5
    return np.asarray(np.take_along_axis(ranks, flat, axis=1).reshape(some.shape), np.float32)


def _waves(some: Floats) -> Floats:
    """Cosine coefficients through each window, [n, 16, _WAVES ** 2]."""
    n = len(some)
    found = np.matmul(_COSINES, np.matmul(some, _COSINES.T)).reshape(n, 4, _WAVES, 4, _WAVES)
    return np.asarray(found.transpose(0, 1, 3, 2, 4).reshape(n, 16, _WAVES**2), np.float32)


def _looks(some: Floats) -> Floats:
    """The 256 lowest coefficients of each film in each look, [n, LOOKS, BITS]."""
    n, found = len(some), _waves(some)
    upright, across = found[:, :, _ORDER], found[:, 0, _ACROSS]
    turned = np.stack([across * _UPSIDE, upright[:, 0] * _UPSIDE * _MIRROR, across * _MIRROR], axis=1)
    windows = np.concatenate([upright, turned], axis=1)[:, :, None] * _SIGNS
    return np.asarray(windows.reshape(n, LOOKS, BITS), np.float32)


@dataclass(frozen=True)
class Candidates:
    """Pairs that may be one picture: ``look`` of film ``first`` meets ``second`` as it is, at ``distance`` bits."""

    first: Ints
    second: Ints
    look: Ints
    distance: Ints

    def __len__(self) -> int:
        return len(self.first)


def candidates(some: Thumbs, near: int = NEAR) -> Candidates:
    """Every pair of films whose hashes come within ``near`` bits in some look; each pair once, at its closest look.

    Args:
        some: [N, SIDE, SIDE]; equal films have been put together by the caller, flat ones left out.
        near: bits; of up to ``FEW`` films every pair is a candidate.
    """
    n = len(some)
    if n < 2:
        return Candidates(*(np.zeros(0, np.int64) for _ in range(4)))
    plain = np.concatenate([_waves(tones(part))[:, 0, _ORDER] for part in _parts(some)])  # not all 16 windows
    median = np.median(plain, axis=0).astype(np.float32)
    bits = plain > median
    del plain
    packed = _pack(bits)
    met = _Tables(bits) if n > FEW else None
    found: list[NDArray[np.int64]] = []
    for start in range(0, n, _CHUNK):
        asked = _looks(tones(some[start : start + _CHUNK])).reshape(-1, BITS) > median
        hashes = _pack(asked)
        pairs = met.ask(asked) if met else _all(len(asked), n)
        for query, other in pairs:
            query, other = _close(query, other, hashes, packed, near if met else BITS)
            first = start + query // LOOKS
            apart = first != other
            query, other, first = query[apart], other[apart], first[apart]
            distance = np.bitwise_count(hashes[query] ^ packed[other]).sum(axis=1)
            found.append(np.stack([first, other, query % LOOKS, distance.astype(np.int64)], axis=1))
    return _closest(np.concatenate(found) if found else np.zeros((0, 4), np.int64), n)


class _Tables:
    """Films sorted by the bits that each table looks at."""

    def __init__(self, bits: NDArray[np.bool_]) -> None:
        count = min(24, int(np.ceil(np.log2(len(bits)))) + 6)  # 24 bits are exact in float32
        chosen = np.random.default_rng(0)
        self.weights = np.zeros((LOW, TABLES), np.float32)
        for table in range(TABLES):
            self.weights[chosen.choice(LOW, count, replace=False), table] = 2.0 ** np.arange(count)
        keys = self._keys(bits)
        self.order = np.argsort(keys, axis=1, kind="stable").astype(np.int32)
        self.keys = np.take_along_axis(keys, self.order, axis=1)

    def _keys(self, bits: NDArray[np.bool_]) -> NDArray[np.int32]:
        """[TABLES, n]."""
        return np.ascontiguousarray((bits[:, :LOW].astype(np.float32) @ self.weights).astype(np.int32).T)

    def ask(self, bits: NDArray[np.bool_]) -> Iterator[tuple[Ints, Ints]]:
        """(position in ``bits``, film) of all that meet, table by table."""
        for order, keys, asked in zip(self.order, self.keys, self._keys(bits), strict=True):
            start = np.searchsorted(keys, asked)
            hit = np.flatnonzero(keys[np.minimum(start, len(keys) - 1)] == asked)
            start = start[hit]
            count = np.minimum(np.searchsorted(keys, asked[hit], side="right") - start, FULL)
            query = np.repeat(hit, count)
            within = np.arange(len(query)) - np.repeat(np.cumsum(count) - count, count)
            yield query, order[np.repeat(start, count) + within].astype(np.int64)


def _all(queries: int, n: int) -> Iterator[tuple[Ints, Ints]]:
    yield np.repeat(np.arange(queries), n), np.tile(np.arange(n), queries)


def _parts(some: Thumbs) -> Iterator[Thumbs]:
    for start in range(0, len(some), _CHUNK):
        yield some[start : start + _CHUNK]


def _pack(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """[n, BITS] as [n, 4] words."""
    return np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint64)


def _close(
    query: Ints, other: Ints, hashes: NDArray[np.uint64], packed: NDArray[np.uint64], near: int
) -> tuple[Ints, Ints]:
    """Those within ``near`` bits, word after word, for the first ones part most pairs."""
    distance = np.zeros(len(query), np.int64)
    for word in range(4):
        distance += np.bitwise_count(hashes[query, word] ^ packed[other, word])
        good = distance <= near
        query, other, distance = query[good], other[good], distance[good]
    return query, other


def _closest(found: NDArray[np.int64], n: int) -> Candidates:
    """Each pair once, in the direction and look of least distance."""
    pair = np.minimum(found[:, 0], found[:, 1]) * n + np.maximum(found[:, 0], found[:, 1])
    found = found[np.lexsort((found[:, 2], found[:, 0], found[:, 3], pair))]
    pair = np.minimum(found[:, 0], found[:, 1]) * n + np.maximum(found[:, 0], found[:, 1])
    _, once = np.unique(pair, return_index=True)
    return Candidates(*np.ascontiguousarray(found[once].T))


def agreement(first: Floats, second: Floats, look: Look) -> float:
    """Correlation of the fine detail of two films after the first is laid over the second; -1 to 1.

    The look gives the first guess; enhanced correlation (Evangelidis and Psarakis, PAMI 2008) refines an affine map
    from it. Detail: what lies between Gaussians of 0.5 and 1.5 thumb pixels; coarser structure is anatomy, which all
    films of one body part share.

    Args:
        first, second: tones [SIDE, SIDE] float32.
    """
    first = np.rot90(first, look.turns)
    first = np.ascontiguousarray(first[:, ::-1] if look.mirrored else first)
    if look.inverted:
        first = -first
    y0, y1, x0, x1 = look.window
    if look.mirrored:  # windows are those of the film as it lies
        x0, x1 = 1 - x1, 1 - x0
    fine, other = _detail(first), _detail(second)
    guess = np.array(
        [[x1 - x0, 0, x0 * SIDE - 0.5 + (x1 - x0) / 2], [0, y1 - y0, y0 * SIDE - 0.5 + (y1 - y0) / 2]],
        np.float32,
    )
    best = _correlation(fine, other, guess)
    try:
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-4)
        _, refined = cv2.findTransformECC(
            _coarse(second), _coarse(first), guess.copy(), cv2.MOTION_AFFINE, stop, _WHOLE, 3
        )
    except cv2.error:  # it did not converge: these two do not match
        return best
    return max(best, _correlation(fine, other, np.asarray(refined, np.float32)))


def _detail(film: Floats) -> Floats:
    return np.asarray(cv2.GaussianBlur(film, (0, 0), 0.5) - cv2.GaussianBlur(film, (0, 0), 1.5), np.float32)


def _coarse(film: Floats) -> Floats:
    return np.asarray(cv2.GaussianBlur(film, (0, 0), 0.7) - cv2.GaussianBlur(film, (0, 0), 4), np.float32)


def _correlation(first: Floats, second: Floats, move: Floats) -> float:
    """Of ``first`` moved and ``second`` where both have pixels; -1 where that is less than 70 %."""
    moved = cv2.warpAffine(
        first, move, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan"),
    )  # fmt: skip
    there = np.isfinite(moved)
    if there.mean() < 0.7:
        return -1.0
    a, b = moved[there], second[there]
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else -1.0

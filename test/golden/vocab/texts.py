"""Texts drawn by number: the same in Python and in texts.ts, so that fixtures need to hold no text at all."""


class Dice:
    """mulberry32: numbers from 0 to n - 1."""

    def __init__(self, seed):
        self.state = seed & 0xFFFFFFFF

    def __call__(self, n):
        self.state = (self.state + 0x6D2B79F5) & 0xFFFFFFFF
        t = self.state
        t = ((t ^ (t >> 15)) * (t | 1)) & 0xFFFFFFFF
        t ^= (t + ((t ^ (t >> 7)) * (t | 61))) & 0xFFFFFFFF
        return ((t ^ (t >> 14)) * n) >> 32


# Code points, so that no tool folds, strips or normalises them.
SIGNS = [
    *range(0x61, 0x6B), 0x72, 0x73, 0x74, *range(0x30, 0x35), 0x20, 0x20, 0x20, 0x2581, 0x2581, 0x0A, 0x09, 0x0D, 0x00, 0x2C, 0x2E, 0x3A, 0x2D, 0x3D,
    0x2A, 0x23, 0x22, 0x27, 0x28, 0x29, 0x7684, 0x4E00, 0x662F, 0x4E0D, 0x4E2D, 0x56FD, 0x5927, 0x4EBA, 0x9F98, 0x9750, 0x56E7, 0xD55C, 0x0416,
    0x00E9, 0x0301, 0x00A0, 0x3000, 0xFF0C, 0x3002, 0x201C, 0x201D, 0x2026, 0x2014, 0x20000, 0x2A6A5, 0xFEFF, 0xFFFD, 0x7F, 0xFB01, 0xFF21, 0x05D0,
    0x0627, 0x0E01, 0x2028, 0x1F600, 0x200D, 0xFE0F, 0x1F468, 0x10FFFF, 0xE000,
]
RUNS = ["-", "=", " ", "\u2581", "a", "\u54c8", "\n", ".", "_", "*", "ab", "\t", "#", "\u54c8\u54c8", "0", "/"]
FAMILY = "\U0001F468\u200D\U0001F469\u200D\U0001F467"
MARKS = ["<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", "<0x0A>", "[PAD600]", " ", "x", "\u4e2d\u56fd", " \u4e2d", "\n", FAMILY]
LENGTHS = [1, 2, 3, 5, 9, 17, 40, 100]


def text(number, pieces, documents):
    """Text `number`. `pieces`: texts of pieces that may be taken; `documents`: a list of corpora, each a list of texts, may be empty."""
    dice = Dice(number)
    kind = dice(100)
    slices = len(documents) > 0
    if number < 6:
        return ["", " ", "  ", "\u2581", "\n", "\0"][number]
    if kind < 40 and slices:
        return part(dice, documents)
    if kind < 65:
        return fuzz(dice)
    if kind < 80:
        return "".join(pieces[dice(len(pieces))].replace("\u2581", " ") if dice(5) else chr(SIGNS[dice(len(SIGNS))]) for _ in range(1 + dice(12)))
    if kind < 88:
        out = ""
        for _ in range(1 + dice(10)):
            piece = pieces[dice(len(pieces))]
            start = dice(len(piece))
            out += piece[start : start + 1 + dice(len(piece))]
        return out
    if kind < 93:
        return "".join(RUNS[dice(len(RUNS))] * (1 + dice(70)) for _ in range(1 + dice(3)))
    if kind < 97:
        return "".join(MARKS[dice(len(MARKS))] for _ in range(1 + dice(8)))
    return (part(dice, documents) if slices else fuzz(dice)) + fuzz(dice)


def fuzz(dice):
    return "".join(chr(SIGNS[dice(len(SIGNS))]) for _ in range(LENGTHS[dice(len(LENGTHS))]))


def part(dice, documents):
    corpus = documents[dice(len(documents))]
    document = corpus[dice(len(corpus))]
    start = dice(max(1, len(document)))
    return document[start : start + 4 * LENGTHS[dice(len(LENGTHS))]]

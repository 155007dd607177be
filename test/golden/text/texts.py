"""Texts of the tokenizer fixtures: written or drawn here, none taken from anywhere."""

import random

SUBJECTS = ["The river", "A small boat", "My neighbour", "The old clock", "Every pupil", "Nobody here", "The baker's daughter", "Our train"]
VERBS = ["crosses", "remembers", "doesn't know", "paints", "counts", "has never seen", "waits for", "would've liked"]
OBJECTS = ["the bridge", "seventeen apples", "a letter from 1984", "the wind", "3.14 metres of rope", "the year 2026", "what they'll say", "blue paper"]
ENDS = [".", "!", "?", ", again.", "; then nothing.", " (twice).", ": \"yes\"."]
ZH_SUBJECTS = ["小船", "老钟", "我的邻居", "每个学生", "面包师的女儿", "火车", "河水", "没有人"]
ZH_VERBS = ["经过", "记得", "不知道", "画出", "数着", "等待", "想念", "看见"]
ZH_OBJECTS = ["那座桥", "十七个苹果", "一封1984年的信", "风声", "三米长的绳子", "2026年", "他们要说的话", "蓝色的纸"]
CODE = ["def area(r):\n    return 3.14 * r ** 2\n", "for (let i = 0; i < 10; i++) {\n\tsum += a[i];\n}\n", "x = {'k': [1, 2, 3]}\r\n"]


def corpus(lines=1500):
    """Lines for training the small models, the same each time."""
    draw = random.Random(7)
    out = []
    for i in range(lines):
        if i % 9 == 8:
            out.extend(draw.choice(CODE).splitlines())
        elif i % 3 == 2:
            out.append(draw.choice(ZH_SUBJECTS) + draw.choice(ZH_VERBS) + draw.choice(ZH_OBJECTS) + draw.choice("。！？，"))
        else:
            out.append(f"{draw.choice(SUBJECTS)} {draw.choice(VERBS)} {draw.choice(OBJECTS)}{draw.choice(ENDS)}")
    return out


EDGES = [
    "", " ", "  ", "a", " a", "a ", "  a  b  ", "\u2581", "\u2581\u2581a\u2581", "a\u2581 b", "\n", "\n\n a\n", "\t\tx\r\ny", "1234567890 12 3.5",
    "The river crosses the bridge.", "小船经过那座桥。", "The 小船 and 火车 of 2026年", "don't I'LL we'Ve 'S 'ſ 'x", "    indented\n        twice\n",
    "é e\u0301 ﬁ Å ½ ① ㌀ ｱ ﾞ Ｈｅｌｌｏ　ｗｏｒｌｄ", "한국어 각 각", "שלום עולם", "مرحبا ١٢٣", "हिन्दी क्षत्रिय", "😀👍🏽👨‍👩‍👧‍👦🇫🇷", "\U0001d518\U00020000\U000e0041",
    "\u0000", "a\u0000b", "\ufeffbom", "\ufffd", "\u00a0\u2003\u3000 x\u200bx\u0085x\u2028x", "<s>", "</s> <unk> <pad>", "<0x41><0x0A>", "<|begin_of_text|>hi<|eot_id|>",
    "[ALWAYS] x[ALWAYS]y", "word  WORD word2 sword words word", "a<mask>b  <mask>  c", "<user>", "ab<user>cd<user><user>", "<us er>", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "ThisIsCamelCase_and_snake_case-and-kebab", "https://example.org/a?b=c&d=%20#e", "!!!???...---***", "x" + " " * 33 + "y", "\n" * 9, "…—–“”‘’«»", "٣٤Ⅷ²x²",
    "aaa" * 40 + "b" + "aa" * 41, "abcabcabc" * 11, "the the the theth", "ｔｅｓｔ\u3000", "\u2581 \u2581", "e\u0301\u0301\u0327", "ss ß ẞ SS", "Σας ΣΑΣ", "İstanbul ı I",
]

ALPHABETS = [
    "abcde ", "the rivclokpa  ", " \n\t\r\u2581.,!?'", "小船经过那座桥火车风声的纸。", "0123456789 ,.", "éàñüﬁ½①Ｈｅ　\u0301", "😀👍🏽\u200d\U00020000\ufe0f", "<user>/s|_[ALWAYS]mask",
    "'stredlvmSTREDLVMſ ", "\u00a0\u0085\u2028\ufeff\u200b x",
]


def drawn(count, seed):
    """Random texts over the alphabets above, some mixed."""
    draw = random.Random(seed)
    out = []
    for _ in range(count):
        parts = draw.sample(ALPHABETS, draw.choice([1, 1, 2, 3]))
        letters = [char for part in parts for char in part]
        out.append("".join(draw.choice(letters) for _ in range(draw.choice([3, 8, 20, 45, 90]))))
    return out


def texts(count=60):
    return EDGES + drawn(count, 11) + ["\n".join(corpus(40))]

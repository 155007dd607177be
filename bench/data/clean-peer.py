"""datatrove's side of clean.ts: reads a job on the first line of standard input, then runs one round for each line.

Job: {"docs": PATH}. Lines: "decide" gives every document's verdict from each filter alone and from the chain
(null: kept, else the reason); "time" runs the chain over all documents and gives {"seconds", "cpu"}. The chain is
C4 quality, Gopher quality, Gopher repetition, with their defaults for English (spaCy's blank tokenizer).
"""

import json
import sys
import time
from importlib.metadata import version

from datatrove.data import Document
from datatrove.pipeline.filters import C4QualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.utils.text import split_into_words

job = json.loads(sys.stdin.readline())
with open(job["docs"], encoding="utf-8") as file:
    docs = json.load(file)
filters = {"c4": C4QualityFilter(), "quality": GopherQualityFilter(), "repetition": GopherRepetitionFilter()}


def verdict(kept):
    return None if kept is True else kept[1]


def chain(text):
    doc = Document(text=text, id="")
    for one in filters.values():
        kept = one.filter(doc)
        if kept is not True:
            return kept[1]
    return None


print(json.dumps({"version": version("datatrove")}), flush=True)
for line in sys.stdin:
    if line.strip() == "decide":
        found = {name: [verdict(one.filter(Document(text=text, id=""))) for text in docs] for name, one in filters.items()}
        found["chain"] = [chain(text) for text in docs]
        found["words"] = [len(split_into_words(text)) for text in docs]
        print(json.dumps(found), flush=True)
    else:
        start, cpu = time.perf_counter(), time.process_time()
        for text in docs:
            chain(text)
        print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}), flush=True)

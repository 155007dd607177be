"""SentencePiece's side of encode.ts: reads a job on the first line of standard input, then runs one round for each line.

Job: {"docs": PATH, "model": PATH}. A round's line is "doc" (one call a document) or "batch" (one call for all, in one
thread, so that the loop too runs in C++). Answers: {"seconds", "cpu", "tokens"}.
"""

import json
import sys
import time

import sentencepiece as spm

job = json.loads(sys.stdin.readline())
with open(job["docs"], encoding="utf-8") as file:
    docs = json.load(file)
model = spm.SentencePieceProcessor(model_file=job["model"])
print(json.dumps({"version": spm.__version__}), flush=True)
for line in sys.stdin:
    start, cpu = time.perf_counter(), time.process_time()
    if line.strip() == "batch":
        ids = model.encode(docs, out_type=int, num_threads=1)
    else:
        ids = [model.encode(doc, out_type=int) for doc in docs]
    took = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    print(json.dumps({**took, "tokens": sum(len(one) for one in ids)}), flush=True)

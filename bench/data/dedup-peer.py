"""datatrove's side of dedup.ts: reads a job on the first line of standard input, then runs one round for each line.

Job: {"docs": PATH, "words": n, "buckets": b, "rows": r}. A round computes signatures of all documents, finds pairs in
every bucket and joins them to groups: the first three of its four stages, in this process, into a fresh folder. Gives
{"seconds", "cpu", "removed"}.
"""

import json
import logging
import sys
import tempfile
import time
from importlib.metadata import version

from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
from loguru import logger

logger.remove()
logging.disable(logging.CRITICAL)
job = json.loads(sys.stdin.readline())
with open(job["docs"], encoding="utf-8") as file:
    docs = [Document(text=text, id=str(i)) for i, text in enumerate(json.load(file))]
config = MinhashConfig(n_grams=job["words"], num_buckets=job["buckets"], hashes_per_bucket=job["rows"])

print(json.dumps({"version": version("datatrove")}), flush=True)
for line in sys.stdin:
    with tempfile.TemporaryDirectory() as folder:
        start, cpu = time.perf_counter(), time.process_time()
        MinhashDedupSignature(output_folder=f"{folder}/sigs", config=config).run(docs, 0, 1)
        signatures = time.perf_counter() - start
        for bucket in range(config.num_buckets):
            MinhashDedupBuckets(input_folder=f"{folder}/sigs", output_folder=f"{folder}/pairs", config=config).run(None, bucket, config.num_buckets)
        cluster = MinhashDedupCluster(input_folder=f"{folder}/pairs", output_folder=f"{folder}/removed", config=config)
        cluster.run(None, 0, 1)
        seconds, used = time.perf_counter() - start, time.process_time() - cpu
        removed = cluster.stats["to_remove"].total if "to_remove" in cluster.stats.stats else 0
    print(json.dumps({"seconds": seconds, "cpu": used, "signatures": signatures, "removed": removed}), flush=True)

"""scikit-learn's LogisticRegression on the features that score.ts wrote: AUC by kind, and scikit-learn's AUC of scion's scores."""
import json
import sys
import time

import numpy as np
import sklearn
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

folder = sys.argv[1]
setup = json.load(open(f"{folder}/setup.json"))


def read(side):
    def part(name, dtype):
        return np.fromfile(f"{folder}/{side}.{name}", dtype=dtype)

    indptr = part("indptr.u32", np.uint32).astype(np.int64)
    indices = part("indices.u32", np.uint32).astype(np.int64)
    x = csr_matrix((part("values.f32", np.float32).astype(np.float64), indices, indptr), shape=(len(indptr) - 1, setup["width"]))
    return x, part("labels.i32", np.int32), part("documents.u32", np.uint32), json.load(open(f"{folder}/{side}.kinds.json"))


x, y, _, _ = read("train")
began = time.time()
model = LogisticRegression(C=setup["C"], tol=1e-6, max_iter=5000).fit(x, y)
seconds = time.time() - began
z = x @ model.coef_[0] + model.intercept_[0]
n = len(y)
objective = float(np.mean(np.logaddexp(0, z) - y * z) + np.sum(model.coef_**2) / (2 * setup["C"] * n))
xt, _, documents, kinds = read("test")
p = model.predict_proba(xt)[:, 1]
counts = np.bincount(documents)
mine = np.bincount(documents, weights=p) / counts
theirs = np.fromfile(f"{folder}/test.scores.f64", dtype=np.float64)
good = np.array([k.startswith("good") for k in kinds])


def table(scores):
    out = {}
    for kind in [*setup["kinds"], "all"]:
        chosen = good | (np.array(kinds) == kind) if kind != "all" else np.ones(len(kinds), bool)
        out[kind] = float(roc_auc_score(good[chosen], scores[chosen]))
    return out


print(
    json.dumps(
        {
            "version": sklearn.__version__,
            "seconds": seconds,
            "iterations": int(model.n_iter_[0]),
            "objective": objective,
            "auc": table(mine),
            "aucOfScion": table(theirs),
            "largestDifference": float(np.max(np.abs(mine - theirs))),
        }
    )
)

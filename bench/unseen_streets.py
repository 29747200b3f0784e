"""Claim: what the models learn holds on streets, clips and cameras that they never saw.

Leave-one-domain-out on the train and calibration splits (the test split is not touched): four folds, each of which
holds out two or three whole dashcam clips together with whole sources of pictures without roadwork, so that neither
the clip nor the camera of a held-out negative was seen. One EfficientNet-Lite0 is trained for each fold and variant;
every picture is then scored by the network that did not see its domain.

``train MANIFEST`` does it all (an hour of one GPU for the four variants); ``table MANIFEST SCORES`` turns the
out-of-fold scores (one .npz a variant, arrays ``<level>_<repetition>`` of log-odds in the manifest's order of the
train and calibration rows) into bench/results/unseen_streets.json.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from natix_cascade.files import write_whole
from natix_cascade.report.manifest import Row, read_manifest

RESULT = Path(__file__).parent / "results" / "unseen_streets.json"
FOLDS = (
    ("mi3_charlotte", "mi3_boston", "mi3_columbus", "AsadiAhmad"),
    ("mi3_chicago", "mi3_phoenix", "mi3_detroit", "vsh9705", "VTTI"),
    ("mi3_minneapolis", "mi3_san_antonio", "mi3_philadelphia", "alexgkendall", "2023-Hyundai", "FatimaRana50"),
    ("mi3_san_francisco", "mi3_indianapolis", "ikatsamenis", "99succubus", "michaelgallacher"),
)
VARIANTS = {
    "average-pool": {"pool": "average", "composites": 0.0},
    "log-sum-exp": {"pool": "log-sum-exp", "composites": 0.0},
    "composites-20": {"pool": "log-sum-exp", "composites": 0.2},
}
REAL = ("A", "S")


def fold_of(row: Row) -> int:
    """Which fold holds a picture out."""
    for index, names in enumerate(FOLDS):
        if row.group in names or any(row.source.startswith(name) for name in names):
            return index
    raise SystemExit(f"{row.path}: source {row.source!r} and group {row.group!r} are in no fold; add them to FOLDS")


def table(rows: list[Row], scores: dict[str, NDArray[np.float64]]) -> dict[str, object]:
    """Figures of one variant from its out-of-fold log-odds."""
    labels = np.array([row.label for row in rows])
    quality = np.array([row.quality for row in rows])
    groups = np.array([row.group for row in rows])
    sources = np.array([row.source.split("/")[0] for row in rows])
    clip = np.char.startswith(groups, "mi3_") & np.isin(quality, REAL)
    whole = scores["0_0"]
    seen = ~np.isnan(whole)
    limit = np.quantile(whole[seen & ~labels], 0.95)
    yes = whole > limit
    return {
        "pictures": int(seen.sum()),
        "auc_by_level": {
            f"L{level}": round(
                float(np.mean([roc_auc_score(labels[seen], s[seen]) for k, s in scores.items() if k[0] == str(level)])),
                4,
            )
            for level in range(4)
        },
        "recall_real_work_zones_at_95_specificity": round(float(yes[seen & clip].mean()), 4),
        "recall_all_positives_at_95_specificity": round(float(yes[seen & labels].mean()), 4),
        "recall_by_clip": {
            str(name): {
                "recall": round(float(yes[seen & clip & (groups == name)].mean()), 3),
                "n": int((seen & clip & (groups == name)).sum()),
            }
            for name in sorted(set(groups[seen & clip]))
        },
        "false_positive_rate_by_source": {
            str(name): {
                "rate": round(float(yes[seen & ~labels & (sources == name)].mean()), 3),
                "n": int((seen & ~labels & (sources == name)).sum()),
            }
            for name in sorted(set(sources[seen & ~labels]))
        },
    }


def train_folds(rows: list[Row], out: Path, steps: int) -> None:
    """Train every variant on every fold and write the out-of-fold scores."""
    import torch  # needs the train extra

    from natix_cascade.image import Level, challenge
    from natix_cascade.learn.data import composites, load_pictures, sample_weights
    from natix_cascade.learn.train import NetworkSettings, TrainSettings, train

    device = "cuda" if torch.cuda.is_available() else "cpu"
    folds = np.array([fold_of(row) for row in rows])
    for name, settings in VARIANTS.items():
        scores: dict[str, NDArray[np.float64]] = {}
        for fold in range(len(FOLDS)):
            kept = [row for row, f in zip(rows, folds, strict=True) if f != fold]
            pixels, real = load_pictures(kept)
            made = composites(pixels, [row.label for row in kept], 4000).to(device)
            model = train(
                NetworkSettings(pool=str(settings["pool"])),
                TrainSettings(steps=steps, composites=float(settings["composites"]), seed=fold),
                real.to(device),
                sample_weights(kept),
                made,
                device=device,
            )
            index = np.flatnonzero(folds == fold)
            held, _ = load_pictures([rows[i] for i in index])
            for level in Level:
                for repetition in range(1 if level is Level.L0 else 2):
                    views = np.stack([challenge(p, level, seed=repetition) for p in held]).transpose(0, 3, 1, 2)
                    with torch.inference_mode():
                        logits = [
                            model(torch.tensor(part).float().to(device))[0].cpu().numpy()
                            for part in np.array_split(views, -(-len(views) // 64))
                        ]
                    key = f"{level.value[1]}_{repetition}"
                    scores.setdefault(key, np.full(len(rows), np.nan))[index] = np.concatenate(logits)
        np.savez(out / f"{name}.npz", **scores)  # type: ignore[arg-type]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["train", "table"])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("scores", type=Path, nargs="?", default=Path("runs/unseen"))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--note", default="")
    args = parser.parse_args()
    rows = read_manifest(args.manifest, split="train") + read_manifest(args.manifest, split="calibration")
    if args.verb == "train":
        args.scores.mkdir(parents=True, exist_ok=True)
        train_folds(rows, args.scores, args.steps)
    variants = {}
    for path in sorted(args.scores.glob("*.npz")):
        with np.load(path) as data:
            variants[path.stem] = table(rows, {key: data[key] for key in data.files})
    result = {
        "what": "leave-one-domain-out on the train and calibration splits; every picture is scored by a network that "
        "saw neither its clip nor its source",
        "date": datetime.now(UTC).date().isoformat(),
        "note": args.note,
        "folds": FOLDS,
        "variants": variants,
    }
    write_whole(RESULT, (json.dumps(result, indent=1) + "\n").encode())
    for name, figures in variants.items():
        print(f"{name:<42} {figures['auc_by_level']}  {figures['recall_real_work_zones_at_95_specificity']}")


if __name__ == "__main__":
    main()

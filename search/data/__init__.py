"""Data sets by name or path, their splits, and the prepared arrays that trials read."""

from search.data.class_counts import (
    ClassCounts,
    constant_answer,
    counts_of,
    imbalance_notice,
)
from search.data.dataset import Dataset, Split
from search.data.decoding import Progress, no_progress
from search.data.manifest import PreparedInfo, SplitSettings
from search.data.prepared import PreparedData, open_prepared, open_test
from search.data.preparing import count_classes, fingerprint_of, prepare
from search.data.sources import NAMED, load_dataset
from search.data.splits import balanced_subset, stratified_split

__all__ = [
    "NAMED",
    "ClassCounts",
    "Dataset",
    "PreparedData",
    "PreparedInfo",
    "Split",
    "SplitSettings",
    "Progress",
    "balanced_subset",
    "constant_answer",
    "count_classes",
    "counts_of",
    "fingerprint_of",
    "imbalance_notice",
    "load_dataset",
    "no_progress",
    "open_prepared",
    "open_test",
    "prepare",
    "stratified_split",
]

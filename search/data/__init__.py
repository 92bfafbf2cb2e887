"""Data sets by name or path, their splits, and the prepared arrays that trials read."""

from search.data.dataset import Dataset, Split
from search.data.manifest import PreparedInfo, SplitSettings
from search.data.prepared import PreparedData, open_prepared, open_test
from search.data.preparing import fingerprint_of, prepare
from search.data.sources import NAMED, load_dataset
from search.data.splits import balanced_subset, stratified_split

__all__ = [
    "NAMED",
    "Dataset",
    "PreparedData",
    "PreparedInfo",
    "Split",
    "SplitSettings",
    "balanced_subset",
    "fingerprint_of",
    "load_dataset",
    "open_prepared",
    "open_test",
    "prepare",
    "stratified_split",
]

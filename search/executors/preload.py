"""What the fork server imports, once for all the workers that are forked from it."""

from search.executors.clean_start import arrive

arrive()

from search.scikit_learn import without_scikit_learn  # noqa: E402

with without_scikit_learn():
    import search.export_worker
    import search.trial  # noqa: F401

"""The fork server's imports, made once for all workers that are forked from it."""

from search.imports.clean_start import arrive

arrive()

from search.imports.scikit_learn import without_scikit_learn  # noqa: E402

with without_scikit_learn():
    import search.worker.export
    import search.worker.train  # noqa: F401

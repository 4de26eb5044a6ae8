"""Records to scores: metrics, spans, statistics, readers and annotation; never torch.

`score_files` is `cra evaluate` as one call.
"""

from typing import Any

__all__ = ["Scored", "score_files"]


def __getattr__(name: str) -> Any:
    # Looked up when first used: a module of this package can then be imported alone and quickly.
    if name in __all__:
        from cra_lib.evaluator import scoring

        return getattr(scoring, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

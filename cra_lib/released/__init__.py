"""Everything about the authors' release: its checkpoints, its files, its parameter names.

The release's behaviour is a matter of settings: see the ``*-released`` variants in
`cra_lib.config` and the table in DEVIATIONS.md.
"""

from cra_lib.released.checkpoint import (
    Imported,
    export_checkpoint,
    export_state,
    import_checkpoint,
    import_state,
    read_checkpoint,
)
from cra_lib.released.dictionaries import (
    read_dictionary,
    read_qa_graphs,
    read_visual_clusters,
)

__all__ = [
    "Imported",
    "export_checkpoint",
    "export_state",
    "import_checkpoint",
    "import_state",
    "read_checkpoint",
    "read_dictionary",
    "read_qa_graphs",
    "read_visual_clusters",
]

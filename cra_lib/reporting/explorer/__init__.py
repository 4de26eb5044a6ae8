"""The explorer: one page to look at every question, its video, and what each method said.

It is a static page beside the report that opens from a disk without a server or a network;
`gathering` collects what it shows, `packing` makes it small, `page` writes it.
"""

from cra_lib.reporting.explorer.gathering import Exploration, Method, of_files, of_results
from cra_lib.reporting.explorer.page import write_explorer

__all__ = ["Exploration", "Method", "of_files", "of_results", "write_explorer"]

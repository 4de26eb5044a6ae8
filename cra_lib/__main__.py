"""`python -m cra_lib` is the `cra` command, installed or not."""

from cra_lib.cli import main

main()

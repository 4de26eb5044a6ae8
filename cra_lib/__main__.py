"""`python -m cra_lib` is the `cra` command, installed or not."""

import sys

try:
    from cra_lib.cli import main
except SyntaxError as error:  # somebody is editing the library
    print(f"cra: {error.filename}, line {error.lineno}: {error.msg}; correct it.", file=sys.stderr)
    sys.exit(2)

main()

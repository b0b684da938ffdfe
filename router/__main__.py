"""`python -m router` is `aftercall`."""

from router.cli import main

main()

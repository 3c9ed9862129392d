"""`python -m ops` is `orders`, also where the script is not on the PATH."""

from ops.cli import main

main()

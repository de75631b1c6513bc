"""Entry point of `python -m tfviz.cli`."""

from tfviz.cli.main import main

main()

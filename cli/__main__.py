"""Run the command line as `python -m tfviz.cli`."""

from tfviz.cli.main import main

main()

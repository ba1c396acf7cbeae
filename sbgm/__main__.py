"""The command line, as `python -m sbgm`."""

from sbgm.cli import main

raise SystemExit(main())

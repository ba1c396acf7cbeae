from sbgm.cli import main

raise SystemExit(main())

"""Measure a claim and print its record, by the measure.py in its folder: python evidence/measure.py ID [--help]"""

import sys
from importlib import import_module
from pathlib import Path


def main() -> None:
    """Measure the claim that the command line names first."""
    scripts = sorted(file.parent.name for file in Path(__file__).parent.glob("claims/*/measure.py"))
    if sys.argv[1:2] == [] or sys.argv[1] not in scripts:
        sys.exit(f"{__doc__}\n\nID is one of {', '.join(scripts)}")
    import_module(f"claims.{sys.argv[1]}.measure").main()


if __name__ == "__main__":
    main()

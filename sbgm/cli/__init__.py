"""The old place of the command line, which is `sbgm.__main__`; `train` is still here."""

from sbgm.__main__ import COMMANDS as COMMANDS
from sbgm.__main__ import main as main
from sbgm.__main__ import parser_for as parser_for

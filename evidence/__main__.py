"""Measure a claim and print its record: python evidence ID [--help]"""

from command_line import main

main()

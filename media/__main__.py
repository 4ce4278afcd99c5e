"""Build the servers whose tests need them: `python -m media`. A test has no time for it."""

from media import centrifugo, livekit


for program in (centrifugo.PROGRAM, livekit.PROGRAM):
    program.build()

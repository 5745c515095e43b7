"""`dynod up`: all processes of the platform in the foreground, under one parent.

Owns who is started with which arguments, when each counts as serving, what happens when one dies, and the orderly stop.
Entry point: command.py. Leaves out what the programs do: it imports none of them.
"""

"""The applications: one typed function a verb, from which the command line is read.

Signatures need no torch; bodies import what they use, so that help and small verbs start at once.
"""

"""Runs that begin in milliseconds: forked from a process that has imported all they need."""

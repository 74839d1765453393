"""What every emulated service stands on: state, handlers, operations, faults, the table of RPCs. It knows no service.

Begin with `cloud.py`, which holds it all together, and `handlers.py`, with which services mark what they answer.
Imports no other room of the emulator.
"""

"""What every emulated service stands on: state, calls, operations, faults, the table of RPCs."""

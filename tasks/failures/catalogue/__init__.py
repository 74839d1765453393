"""The rules that recognise failures by their words, most telling first; begin with `matching`."""

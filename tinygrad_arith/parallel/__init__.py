"""Processes of this machine: children that are told what to do, arrays that several see, signals that stop them."""

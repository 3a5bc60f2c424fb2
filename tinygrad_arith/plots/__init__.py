"""The pictures: functions from numbers to a matplotlib `Figure`, and the catalogue of those that a run has.

No pyplot and no global state: they work without a display, in threads, and inside somebody else's matplotlib session.
matplotlib is imported when the first picture is drawn.
"""

"""`python -m tests.reconciler.bench`: how fast is the reconciler, what does it cost, and what would polling cost?

`virtual` has Azure's own durations and allowances, in time that jumps; `live` has the process that ships, a real API
server and the clock on the wall; `polling` is the peer, a stand-in of our own.
"""

"""What is to be done about a claim, given all that is known? Pure: no request, no clock, no memory.

Karpenter's four aspects, a file each: `launch`, `registration`, `initialization`, `liveness`; and `termination`. Which
Node is meant is in `machine`.
"""

from reconciler.decide.action import Action, Decision, Limits, Seen
from reconciler.decide.decide import decide

__all__ = ["Action", "Decision", "Limits", "Seen", "decide"]

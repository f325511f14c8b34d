"""Is this process alive, and does it know what it must know? Pure; `serve` answers the probes with it.

A process that leads and cannot renew its lease ends by itself. What is left to tell is a loop that hangs, and mirrors
that nothing is heard from: there a restart helps.
"""

from dataclasses import dataclass

LAG_SECONDS = 10.0
STALE_SECONDS = 300.0
"""Both mirrors silent for so long. The API server ends each watch within a minute, and that is heard."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the probes are answered from; spans in seconds."""

    lag: float
    """By how much the event loop was late when it last looked."""
    watch_silence: float
    list_silence: float
    """Since the last LIST of the pools; 0 for a standby, which asks for none."""
    synced: bool


def sick(pulse: Pulse) -> list[str]:
    """Why the process should be restarted; empty: it should not.

    A silent API server and a silent Azure at once are more likely this process than both of them.
    """
    found = []
    if pulse.lag > LAG_SECONDS:
        found.append(f"the event loop was {pulse.lag:.0f} s late")
    if min(pulse.watch_silence, pulse.list_silence) > STALE_SECONDS:
        found.append(f"nothing was heard from the API server and from Azure for {STALE_SECONDS:.0f} s")
    return found


def unready(pulse: Pulse) -> list[str]:
    return [] if pulse.synced else ["the NodeClaims and Nodes are not yet known"]

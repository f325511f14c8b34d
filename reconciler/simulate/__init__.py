"""An AKS cluster in memory: for `--azure simulated` on a laptop, and for tests, which make it fail as they like."""

from reconciler.simulate.aks import Delays, Machine, SimulatedAks
from reconciler.simulate.machines import Machines

__all__ = ["Delays", "Machine", "Machines", "SimulatedAks"]

"""A machine in memory: deterministic event loop with virtual time, network, and a disk that loses what was not synced.

The server's own code runs in it, given a simulated :class:`fluss_server.runtime.Runtime`. One seed is one run, with one
trace hash; see :class:`Simulation`.
"""

from fluss_server.simulation.event_loop import SimulationHangs
from fluss_server.simulation.runtime import Machine, Simulation

__all__ = ["Machine", "Simulation", "SimulationHangs"]

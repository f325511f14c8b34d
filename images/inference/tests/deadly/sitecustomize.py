"""Python imports this before the server where a test puts this folder on the path: SIGUSR1 then kills a thread.

The thread and the exception are named by the environment. The server itself is started by its own command and knows
nothing of it, so what the test sees is what an error that nobody expected does to a pod.
"""

import builtins
import ctypes
import os
import signal
import threading


def _kill(*_: object) -> None:
    victim = next(thread for thread in threading.enumerate() if thread.name == os.environ["DEADLY_THREAD"])
    error = getattr(builtins, os.environ["DEADLY_ERROR"])
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(victim.ident or 0), ctypes.py_object(error))


signal.signal(signal.SIGUSR1, _kill)

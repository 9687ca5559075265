"""``python launch.py SIGNAL COMMAND…``: run a command that dies with its parent.

Asks the kernel for SIGNAL on the parent's death (Linux ``PR_SET_PDEATHSIG``, kept over exec), makes
a process group of its own, then becomes the command. Without it a worker that is killed outright
would leave its child computing for a job that somebody else does again. Run as a file by path with
``-I -S``, so it imports nothing of the project. Elsewhere than on Linux it only execs.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind this process to its parent's life, then become the command of ``sys.argv``."""
    signal_number, parent, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if os.getpid() != os.getsid(0):
        os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        # The parent may have died before the call above took effect.
        if os.getppid() != parent:
            os._exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()

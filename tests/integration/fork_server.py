"""Runs the `crdtkv` program in forks of one process that has imported it, because that takes longer than most runs.

Requests come over a socket: the working directory and the arguments, with the descriptors of standard input, output and
error, and of a pipe for the status. A fork writes its process id into that pipe, and its exit code at its end. The
server ends when the socket is closed.

Run: python fork_server.py FD
"""

import json
import os
import signal
import socket
import sys
import traceback
from typing import NoReturn

from crdtkv.cli.app import main

REQUEST_BYTES = 1 << 20


def serve(requests: socket.socket) -> None:
    """Serve until the socket is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps the watching processes
    while True:
        data, descriptors, *_ = socket.recv_fds(requests, REQUEST_BYTES, 4)
        if not data:
            return
        if os.fork() == 0:
            requests.close()
            watch(json.loads(data), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def watch(request: list[str], descriptors: list[int]) -> NoReturn:
    """Fork the program, and write its process id and its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *standard, status = descriptors
    process = os.fork()
    if process == 0:
        os.close(status)
        run_program(request[0], request[1:], standard)
    for descriptor in standard:
        os.close(descriptor)
    os.write(status, f"{process}\n".encode())
    _, how = os.waitpid(process, 0)
    os.write(status, f"{os.waitstatus_to_exitcode(how)}\n".encode())
    os._exit(0)


def run_program(directory: str, arguments: list[str], standard: list[int]) -> NoReturn:
    """Run the program in a directory, with these standard streams."""
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
        os.close(descriptor)
    # The server's own streams know whether they can seek; these are pipes.
    sys.stdin = os.fdopen(0, encoding=sys.stdin.encoding, closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding=sys.stdout.encoding, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding=sys.stderr.encoding, errors=sys.stderr.errors, buffering=1, closefd=False)
    os.chdir(directory)
    sys.argv = ["crdtkv", *arguments]
    code: object = 1
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))

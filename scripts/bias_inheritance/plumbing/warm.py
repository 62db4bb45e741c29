"""A warm worker: one process imports torch and related packages once, and every local step runs in a fork of it.

Imports take 7 s per process, and a study has hundreds of short steps. Snakemake starts the step's process, which passes its
command line, environment and open files to the worker, waits, and exits with the fork's status. The fork imports the
project's code itself, so it runs the version on disk. If the step's process dies, its fork is killed; if Snakemake dies,
the worker and all its forks end. Steps are not forked in containers, on a cluster, outside Linux (this relies on abstract
sockets and the signal at a parent's death), or with BIAS_INHERITANCE_WARM=0.
"""

import contextlib
import gc
import json
import os
import runpy
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import traceback

VARIABLE = "BIAS_INHERITANCE_WARM"  # 0: no worker; in a step: the worker's address
OFF = "0"
# Environment of a step's process for speed on a CPU. By default, glibc returns a large tensor's memory to the system at
# every free, which costs 20% of the speed, and uses small pages; and the kernels that oneDNN compiles for each new batch
# length would be scattered between the tensors.
MEMORY = {
    "GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736:glibc.malloc.hugetlb=1",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "100",
}
PRELOADED = [
    "torch",
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.models.auto.tokenization_auto",
    "pandas",
    "pyarrow.parquet",
    "safetensors.torch",
]
# imports bitsandbytes, which initialises a visible GPU, and one initialised before a fork cannot be used in it
PRELOADED_WITHOUT_GPU = ["peft"]


def start(folder):
    """Start the worker for this (Snakemake's) process and pass its address to the steps.

    Returns a file descriptor: closing it, or the end of this process, ends the worker. Returns None if there is already a
    worker, if it is disabled, or if the system is not Linux.
    """
    from bias_inheritance.plumbing import gpus  # the worker, which runs this file, does not import the project's code

    if VARIABLE in os.environ or sys.platform != "linux":
        return None
    # An abstract address, since a study's path may be too long for a socket. It accepts connections immediately: steps
    # that start while the worker is importing are queued.
    address = f"bias-inheritance-{secrets.token_hex(16)}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind("\0" + address)
    listener.listen(64)
    reading, writing = os.pipe()
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "warm.log"), "wb") as log:
        modules = PRELOADED if gpus.visible() else PRELOADED + PRELOADED_WITHOUT_GPU
        command = [sys.executable, "-P", os.path.abspath(__file__), str(listener.fileno()), str(reading), *modules]
        environment = {**os.environ, "PYTORCH_NVML_BASED_CUDA_CHECK": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.Popen(
            command, pass_fds=[listener.fileno(), reading], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            start_new_session=True,
        )  # fmt: skip
    os.close(reading)
    listener.close()
    os.environ[VARIABLE] = address
    return writing


def hand_over():
    """Run this process's command line in the worker and exit with its status; return if there is no worker."""
    address = os.environ.get(VARIABLE)
    if not address or address == OFF:
        return
    worker = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    request = json.dumps({"argv": sys.argv, "folder": os.getcwd(), "environment": environment}).encode()
    try:
        worker.connect("\0" + address)
        socket.send_fds(worker, [len(request).to_bytes(8, "big")], [0, 1, 2])
        worker.sendall(request)
        taken = worker.recv(1)
    except OSError:
        return
    if not taken:
        return  # the worker ended before accepting the step: run it in this process
    answer = worker.recv(4)
    os._exit(int.from_bytes(answer, "big") if answer else 1)  # no answer: the worker was killed, and its forks with it


def _serve(listener, lifeline, modules):
    import importlib

    for module in modules:
        importlib.import_module(module)
    if sys.modules["torch"].cuda.is_initialized():
        return  # the forks could not use the GPU: leave the steps to themselves
    gc.freeze()  # exclude imported objects from garbage collection in forks, which would also copy their pages
    wake_reading, wake_writing = os.pipe()
    os.set_blocking(wake_writing, False)
    signal.set_wakeup_fd(wake_writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running = {}  # pid of the fork → connection of its step
    while True:
        readable, _, _ = select.select([listener, lifeline, wake_reading, *running.values()], [], [])
        if lifeline in readable:
            for pid in running:
                os.killpg(pid, signal.SIGKILL)
            return
        if wake_reading in readable:
            os.read(wake_reading, 4096)
        for pid, connection in list(running.items()):
            finished, status = os.waitpid(pid, os.WNOHANG)
            if finished:
                code = os.waitstatus_to_exitcode(status)
                _answer(connection, code if code >= 0 else 128 - code)
                del running[pid]
            elif connection in readable:  # the step's process is gone: it never sends anything else
                os.killpg(pid, signal.SIGKILL)
        if listener in readable:
            connection, _ = listener.accept()
            pid = _fork(connection, [listener, *running.values()])
            if pid:
                with contextlib.suppress(OSError):  # the fork does the same; either may be first
                    os.setpgid(pid, pid)
                running[pid] = connection


def _answer(connection, code):
    with contextlib.suppress(OSError):  # the step's process is gone
        connection.sendall(code.to_bytes(4, "big"))
    connection.close()


def _fork(connection, others):
    """Fork for one step; returns its pid, or None if the step's process ended before sending its command line."""
    _, owner, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if owner != os.getuid():
        connection.close()
        return None
    header, files, _, _ = socket.recv_fds(connection, 8, 3)
    size = int.from_bytes(header, "big")
    request = b""
    while len(request) < size:
        part = connection.recv(size - len(request))
        if not part:
            break
        request += part
    if not header or len(request) < size:
        connection.close()
        return None
    connection.sendall(b"+")
    pid = os.fork()
    if pid:
        for file in files:
            os.close(file)
        return pid
    os.setpgid(0, 0)
    _die_with_parent()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for other in [connection, *others]:
        other.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
    os._exit(_run(json.loads(request)))


def _die_with_parent():
    """Ask the kernel to kill this fork when the worker dies, so that no orphan writes while the step is rerun."""
    import ctypes

    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _run(request):
    """Run a script as if it were the main program; returns the exit status."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["argv"]
    sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
    code = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), sys.argv[3:])

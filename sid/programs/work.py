# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Python's ways to start processes, and which descriptors they get."""

import multiprocessing
import os
import subprocess
import sys
import time

LIST = "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"


def square(number: int) -> int:
    until = time.process_time() + 0.01
    while time.process_time() < until:
        pass
    return number * number


def run(code: str, **options: object) -> None:
    print(subprocess.run([sys.executable, "-ISc", code], capture_output=True, text=True, **options))  # type: ignore


def main() -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(square, range(16)))
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=queue.put, args=("from another process",))
    process.start()
    print(queue.get())
    process.join()
    print(process.exitcode)
    reader, writer = os.pipe()
    print(reader, writer)
    run(LIST)
    run(LIST, pass_fds=[writer])
    run(LIST, close_fds=False)
    run(f"import os; os.write({writer}, b'passed')", pass_fds=[writer])
    print(os.read(reader, 100))
    run("import os, signal; os.kill(os.getpid(), signal.SIGTRAP)")
    run("print(open('/proc/self/comm').read())", start_new_session=True)


if __name__ == "__main__":
    main()

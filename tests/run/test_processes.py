"""Processes end with the command that started them."""

import subprocess
import sys
import time

import psutil


def test_a_job_ends_soon_after_the_command_that_started_it():
    command = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    program = f"""
import subprocess, sys, time
from dynammo.run.processes import end_with
kernel = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(kernel.pid, flush=True)
end_with({command.pid}, every=0.05)
time.sleep(60)
"""
    job = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    kernel = psutil.Process(int(job.stdout.readline()))
    time.sleep(0.3)
    assert job.poll() is None and kernel.is_running()
    command.kill()
    command.wait()
    assert job.wait(timeout=10) == 1
    kernel.wait(timeout=10)

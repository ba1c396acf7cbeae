"""The time from a key press on a slider to the frame that draws the new picture, measured inside the page."""

from __future__ import annotations

import statistics
import time
from typing import NamedTuple

import psutil

from .explorer import Explorer, Slider

N_PRESSES = 15
N_ROUNDS = 3
BUSY = 0.9  # of a core free: with less, the machine is busy
REST = 50.0  # milliseconds of JupyterLab and the browser; beside a training, 28 to 58 were measured

# From the time stamp of the key's event, until the new picture is decoded and a frame begins that draws it.
LISTEN = """image => {
  let pressed = NaN;
  addEventListener('keydown', event => { pressed = event.timeStamp }, {capture: true, once: true});
  window.keyToPixels = new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error('no new picture in 20 s')), 20000);
    new MutationObserver((changes, observer) => {
      observer.disconnect();
      image.decode().then(() => requestAnimationFrame(() => resolve(performance.now() - pressed)), reject);
    }).observe(image, {attributeFilter: ['src']});
  });
}"""


class Latency(NamedTuple):
    """Key to pixels, in milliseconds.

    Attributes:
        median: over N_PRESSES.
        work: the kernel's processor time for a press, the mean.
        free: the share of a core that a burst of work gets between the presses, the median; 1 on an idle machine.
    """

    median: float
    work: float
    free: float

    @property
    def idle(self) -> float:
        """The median of an idle machine: what was measured, or on a busy machine what it cannot exceed by its work."""
        return self.median if self.free >= BUSY else min(self.median, self.work + REST)

    def __str__(self) -> str:
        return (
            f"median {self.median:.0f} ms, {self.work:.0f} ms of it the kernel's work; {self.free:.0%} of a core free"
        )


def measure(explorer: Explorer, slider: Slider, kernel: psutil.Process) -> Latency:
    """One round of presses, to and fro, each after the last one has settled."""
    keys = ("ArrowLeft", "ArrowRight") if slider.at_end else ("ArrowRight", "ArrowLeft")
    times, shares, before = [], [], processor_time(kernel)
    for i in range(N_PRESSES):
        explorer.page.wait_for_timeout(150)
        shares.append(free_share())
        explorer.picture.evaluate(LISTEN)
        slider.press(keys[i % 2])
        times.append(explorer.page.evaluate("() => window.keyToPixels"))
    work = 1e3 * (processor_time(kernel) - before) / N_PRESSES  # between presses a kernel does nothing
    return Latency(statistics.median(times), work, statistics.median(shares))


def best_of_rounds(explorer: Explorer, slider: Slider, kernel: psutil.Process, limit: float) -> Latency:
    """The best of N_ROUNDS, or the first with a median within the limit: other programs come and go."""
    rounds = [measure(explorer, slider, kernel)]
    while rounds[-1].median > limit and len(rounds) < N_ROUNDS:
        rounds.append(measure(explorer, slider, kernel))
    return min(rounds)


def processor_time(process: psutil.Process) -> float:
    """Seconds of a core that a process has used since it started."""
    used = process.cpu_times()
    return used.user + used.system


def free_share(seconds: float = 0.03) -> float:
    """The share of a core that a short burst of work gets after a pause, such as the work behind a press."""
    wall, start = time.perf_counter(), time.process_time()
    while (used := time.process_time() - start) < seconds:
        pass
    return min(1.0, used / (time.perf_counter() - wall))

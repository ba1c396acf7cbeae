"""The time from a key press on a slider to the frame that draws the new picture, measured inside the page.

It is judged as on the idle machine of data/results/SPEED.md: two cores have been seen to take 2.5 times as long for the
same work on another day, with nothing else running, and that says nothing about a slider.
"""

import statistics
import time
from typing import NamedTuple

import psutil
import torch

from .explorer import Explorer, Slider

N_PRESSES = 15
N_ROUNDS = 3
BUSY = 0.9  # of a core free: with less, the machine is busy
REST = 50.0  # milliseconds of JupyterLab and the browser; beside a training, 28 to 58 were measured
PACE = 61_000  # turns of a burst in a second of SPEED.md's machine: a slow day's, times the ratio of Fig. 3's times
MOST_SLOWER = 1.5  # what is allowed a slow processor: a slider that takes twice as long is found on any

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
        slower: how many times as long a burst's work takes as on the machine of data/results/SPEED.md, the median.
    """

    median: float
    work: float
    free: float
    slower: float

    @property
    def idle(self) -> float:
        """The median on SPEED.md's machine, idle: on a busy one what the work allows, on a slow one so much less."""
        median = self.median if self.free >= BUSY else min(self.median, self.work + REST)
        return median / min(max(1.0, self.slower), MOST_SLOWER)

    def __str__(self) -> str:
        return (
            f"median {self.median:.0f} ms, {self.work:.0f} ms of it the kernel's work; {self.free:.0%} of a core free, "
            f"{self.slower:.1f} times as slow as SPEED.md's"
        )


def measure(explorer: Explorer, slider: Slider, kernel: psutil.Process) -> Latency:
    """One round of presses, to and fro, each after the last one has settled."""
    keys = ("ArrowLeft", "ArrowRight") if slider.at_end else ("ArrowRight", "ArrowLeft")
    times, bursts, before = [], [], processor_time(kernel)
    for i in range(N_PRESSES):
        explorer.page.wait_for_timeout(150)
        bursts.append(burst())
        explorer.picture.evaluate(LISTEN)
        slider.press(keys[i % 2])
        times.append(explorer.page.evaluate("() => window.keyToPixels"))
    work = 1e3 * (processor_time(kernel) - before) / N_PRESSES  # between presses a kernel does nothing
    free, slower = (statistics.median(column) for column in zip(*bursts, strict=True))
    return Latency(statistics.median(times), work, free, slower)


def best_of_rounds(explorer: Explorer, slider: Slider, kernel: psutil.Process, limit: float) -> Latency:
    """The best of N_ROUNDS, or the first within the limit: other programs come and go."""
    rounds = [measure(explorer, slider, kernel)]
    while rounds[-1].idle > limit and len(rounds) < N_ROUNDS:
        rounds.append(measure(explorer, slider, kernel))
    return min(rounds, key=lambda latency: latency.idle)


def processor_time(process: psutil.Process) -> float:
    """Seconds of a core that a process has used since it started."""
    used = process.cpu_times()
    return used.user + used.system


def burst(seconds: float = 0.03) -> tuple[float, float]:
    """A short burst of work after a pause, such as the work behind a press: the share of a core that it gets, and how
    many times as long it takes as on SPEED.md's machine."""
    points = torch.zeros(2, 2, 512)  # small operations, as of a move in chapter 04, but none of our own code
    n_turns, wall, start = 0, time.perf_counter(), time.process_time()
    while (used := time.process_time() - start) < seconds:
        ((points - 5).square().sum(dim=1).softmax(dim=0)[:, None] * points).sum(dim=0).T.contiguous()
        n_turns += 1
    return min(1.0, used / (time.perf_counter() - wall)), PACE * used / n_turns

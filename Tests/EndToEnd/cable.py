"""A cable of some length and quality between two network interfaces.

  cable.py END END DELAY LOSS SEED     two open tap descriptors, seconds, share of frames, of the dice
"""
import collections
import os
import random
import select
import sys
import time

FRAME_BYTES = 1 << 16


def main():
    ends, delay, loss = [int(word) for word in sys.argv[1:3]], float(sys.argv[3]), float(sys.argv[4])
    dice = random.Random(sys.argv[5])
    other = dict(zip(ends, reversed(ends)))
    # (when it arrives, where, the frame); the delay is the same for all, so they stay in order.
    under_way = collections.deque()
    while True:
        wait = max(0, under_way[0][0] - time.monotonic()) if under_way else None
        for end in select.select(ends, [], [], wait)[0]:
            frame = os.read(end, FRAME_BYTES)
            if dice.random() >= loss:
                under_way.append((time.monotonic() + delay, other[end], frame))
        while under_way and under_way[0][0] <= time.monotonic():
            _, end, frame = under_way.popleft()
            try:
                os.write(end, frame)
            except OSError:
                pass        # the interface is not up: the frame is lost


if __name__ == '__main__':
    main()

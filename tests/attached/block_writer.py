"""A program of an ordinary user: writes numbered blocks to a file, synced one by one, until its stdin ends.

It says the number of each on stdout when it is safe. In the end it reads everything back; exit code 0 only if
no call failed and every block has the number that was written there last.
"""

import os
import select
import sys

BLOCK = 8192


def main(path: str) -> int:
    descriptor = os.open(path, os.O_RDWR)
    blocks = os.lseek(descriptor, 0, os.SEEK_END) // BLOCK
    last: dict[int, int] = {}
    number = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        number += 1
        place = number * 7919 % blocks
        assert os.pwrite(descriptor, _content(number), place * BLOCK) == BLOCK
        os.fsync(descriptor)
        last[place] = number
        print(number, flush=True)
    wrong = [
        place for place, each in last.items() if os.pread(descriptor, BLOCK, place * BLOCK) != _content(each)
    ]
    os.close(descriptor)
    return len(wrong)


def _content(number: int) -> bytes:
    return number.to_bytes(8, "little") * (BLOCK // 8)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

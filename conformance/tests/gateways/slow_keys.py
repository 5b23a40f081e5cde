"""The gateway on `aiohttp`, sound in everything, with a check of keys that takes its time.

Run as a program it prints its port and serves on 127.0.0.1 until its standard input closes.
"""

from __future__ import annotations

import argparse
import asyncio

from aiohttp_choices import Choices
from on_aiohttp import serve

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=float, default=1.2, help="seconds of a viewer's check")
    parser.add_argument("--devices", type=float, default=1.2, help="seconds of a device's check")
    arguments = parser.parse_args()
    choices = Choices(key_check=arguments.viewers, device_check=arguments.devices)
    asyncio.run(serve(choices))

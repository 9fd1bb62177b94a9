# What this Python is, and whether what it has installed will do: moto 5.2.3 is the first release that starts a second
# execution (https://github.com/getmoto/moto/issues/10077), and 6 may change anything.
import importlib.metadata
import json
import sys


def serves():
    try:
        version = tuple(int(n) for n in importlib.metadata.version("moto").split(".")[:3])
        if not (5, 2, 3) <= version < (6,):
            return False
        # Its packages are optional.
        import moto.server  # noqa: F401
        import moto.stepfunctions.parser.models  # noqa: F401
        import samtranslator  # noqa: F401
    except Exception:
        return False
    return True


print(json.dumps({"version": sys.version_info[:2], "serves": serves()}))

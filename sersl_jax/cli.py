"""What the commands share: flags are parsed, and a user's mistake is one line, not a traceback."""

import gc
import os
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

_NO_SPACE = "No space left on device"
_MAKE_ROOM = "; make room and give the same command again"


def run(
    main: Callable[[Sequence[str]], int | None], define_flags: Callable[[], None] | None = None
) -> None:
    """Defines the command's flags, parses them and runs `main(argv)`.

    Flags are defined when a command runs and not when it is imported, because the names of several
    commands' flags are the same.

    Errors that a user can mend (`ValueError`, `OSError`, `MemoryError`) end the command with one
    line on stderr and exit code 2, and so does a full disk. `--verbosity=1` shows the traceback.
    Ctrl-C ends it with exit code 130.
    """

    def guarded(argv: Sequence[str]) -> None:
        try:
            code = main(argv)
            sys.stdout.flush()
            sys.exit(code)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        except BrokenPipeError:  # `| head` has seen enough; what is left to flush goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except (ValueError, OSError, MemoryError, RuntimeError) as error:
            full = _NO_SPACE in str(error)  # array_record's writer tells so by a RuntimeError
            if flags.FLAGS.verbosity >= 1 or (isinstance(error, RuntimeError) and not full):
                raise
            print(f"error: {_one_line(error)}{_MAKE_ROOM * full}", file=sys.stderr)
            sys.exit(2)
        finally:
            gc.freeze()  # or the interpreter, ending, looks for garbage: 0.3 s

    gc.set_threshold(50_000)  # JAX and pandas make half a million objects, which stay: 0.1 s
    if define_flags is not None:
        define_flags()
    logging.set_verbosity(logging.FATAL)  # libraries log with a traceback what they raise, too
    app.run(guarded, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    """absl's own parsing; a wrong flag, file or config field is one line, too."""
    try:
        return flags.FLAGS(argv)
    except (AttributeError, KeyError) as error:
        said = _one_line(error).replace("\\n", " ").replace("\\'", "").strip("\"'")
        print(f"error: no such field in the config: {said}", file=sys.stderr)
    except (flags.Error, OSError) as error:
        print(f"error: {_one_line(error)} (--help lists the flags)", file=sys.stderr)
    sys.exit(2)


def _one_line(error: Exception) -> str:
    """The error's message, without ml_collections's traceback and search path."""
    said = str(error)
    if "Traceback" in said:  # of a config file's `get_config`
        said = said.split(" Error whilst")[0] + " " + said.strip().splitlines()[-1]
    if "failure to load" in said:
        said = "--config: " + said.rsplit("] ", 1)[-1]
    return " ".join(said.split())

"""The exceptions that are meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can put right. Its text is one clear sentence: what is wrong, where, and what is allowed.

    The doors print it as `error: <sentence>` and exit with `exit_code`; a traceback would only hide it.
    """

    exit_code = 1


class MachineError(UserError):
    """What this machine lacks; the same flags may do on another."""


class MisuseError(UserError):
    """What a flag of this very command says wrongly. What is wrong with a run on disk is none."""

    exit_code = 2

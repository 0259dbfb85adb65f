"""Every error of ours, named for what happened. `retryable` says whether the same call may succeed later.

HeliostatError
├── SettingsInvalid            start-up stops, one line per wrong variable
├── ConfigInvalid              an admin saved a wrong system config, one line per field
├── ProgramMissing             ffmpeg, exiftool … is not installed
├── Permanent                  trying again cannot help
│   ├── UnreadableMedia        the bytes are not what they claim to be
│   │   ├── UnreadableImage
│   │   └── UnreadableVideo
│   ├── UnsupportedMedia       no decoder here reads this kind of file
│   ├── TooLarge               over a decoder's limit (pixels, seconds, bytes)
│   ├── SourceMissing          the file that the row names is not on disk
│   ├── AccelerationUnsupported  a kind of graphics hardware does not encode what is asked for
│   └── EncodeFailed           ffmpeg refused in every way that was tried; carries its stderr's tail
├── Transient                  may pass: retried with back-off
│   ├── ProgramFailed          a program ended with an error; carries its stderr's tail
│   ├── ProgramTimeout         a program did not answer in time
│   ├── AccelerationMissing    the graphics device that is asked for is not on this node
│   ├── Cancelled              the controller gave the job up while it ran
│   ├── WorkerLost             the process that held the job died
│   ├── NodeLost               the machine that held the job went away
│   ├── JobTimeout             the job ran past its limit
│   ├── OutOfMemory            the job was killed for memory; retried alone
│   ├── NoSpace                a disk is full
│   └── IndexAway              the index of embeddings does not answer; its rows do
├── ModelUnavailable           a model's weights are missing or damaged; no attempt is lost, the job waits for them
├── TemplateInvalid            a storage template does not parse, or does not say where a file lies
├── PathEscapes                a path leaves the folder it must stay in
├── LeaseLost                  another attempt holds the job; nothing of this one counts
├── StateError                 a job was told something its state does not know
└── Refused                    what a person asked for cannot be done; the message is for them
    ├── NotAuthenticated
    ├── Forbidden
    ├── NotFound
    ├── BadRequest
    ├── UploadTooLarge         over the limit that the environment sets for one upload
    ├── TooManyTries           a secret was guessed too often; may be tried again after a while
    └── Unavailable            it could be done, but what it takes is not there now
"""

from collections.abc import Sequence


class HeliostatError(Exception):
    """Root of the tree. `retryable`: the same call may succeed later."""

    retryable = False


class SettingsInvalid(HeliostatError):
    """Wrong environment. `issues`: (variable name, message) pairs."""

    def __init__(self, issues: Sequence[tuple[str, str]]) -> None:
        self.issues = tuple(issues)
        lines = "\n".join(f"  - [{name}] {message}" for name, message in self.issues)
        super().__init__(f"Invalid environment variables: \n{lines}")


class ConfigInvalid(HeliostatError):
    """Wrong system config. `issues`: (path of field names, message) pairs."""

    def __init__(self, issues: Sequence[tuple[tuple[str, ...], str]]) -> None:
        self.issues = tuple(issues)
        lines = "\n".join(f"  - [{'.'.join(path)}] {message}" for path, message in self.issues)
        super().__init__(f"Invalid system config: \n{lines}")


class ProgramMissing(HeliostatError):
    """A program is not on this machine. The message says how to get it."""

    def __init__(self, program: str, hint: str) -> None:
        self.program = program
        super().__init__(f"{program} is not installed: {hint}")


class Permanent(HeliostatError):
    """Trying again cannot help."""


class UnreadableMedia(Permanent):
    """The bytes do not decode. `path` is the file, `reason` what the decoder said."""

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(f"cannot read {self.path}: {reason}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.path, self.reason)


class UnreadableImage(UnreadableMedia):
    """A picture that does not decode."""


class UnreadableVideo(UnreadableMedia):
    """A video that does not decode."""


class UnsupportedMedia(UnreadableMedia):
    """No decoder here reads this kind of file."""


class TooLarge(UnreadableMedia):
    """Over a decoder's limit: pixels, seconds or bytes."""


class SourceMissing(UnreadableMedia):
    """The file that the row names is not on disk."""


class Transient(HeliostatError):
    """May pass: retried with back-off."""

    retryable = True


class ProgramFailed(Transient):
    """A program ended with an error. `stderr_tail`: the last of what it said."""

    def __init__(self, program: str, exit_code: int, stderr_tail: str) -> None:
        self.program, self.exit_code, self.stderr_tail = program, exit_code, stderr_tail
        last_line = stderr_tail.strip().splitlines()[-1] if stderr_tail.strip() else "no message"
        super().__init__(f"{program} ended with {exit_code}: {last_line}")

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        return type(self), (self.program, self.exit_code, self.stderr_tail)


class ProgramTimeout(Transient):
    """A program did not answer within `seconds`."""

    def __init__(self, program: str, seconds: float) -> None:
        self.program, self.seconds = program, seconds
        super().__init__(f"{program} did not answer within {seconds:g} s")

    def __reduce__(self) -> tuple[type, tuple[str, float]]:
        return type(self), (self.program, self.seconds)


class AccelerationUnsupported(Permanent):
    """No encoder of this kind of hardware makes this codec."""


class EncodeFailed(Permanent, ProgramFailed):
    """ffmpeg could not make a video of this one, in none of the ways that were tried; another run would end so, too."""

    retryable = False


class AccelerationMissing(Transient):
    """The graphics device is not on this node; another node may have it."""


class Cancelled(Transient):
    """The controller gave the job up while it ran: its program is ended, its files are gone."""


class WorkerLost(Transient):
    """The process that held the job died."""


class NodeLost(Transient):
    """The machine that held the job went away."""


class JobTimeout(Transient):
    """The job ran past its limit."""


class OutOfMemory(Transient):
    """The job was killed for memory; it is retried alone."""


class NoSpace(Transient):
    """A disk is full."""


class IndexAway(Transient):
    """The index of embeddings does not answer; its rows do."""


class ModelUnavailable(HeliostatError):
    """Weights are missing or damaged. `model`: by Immich's name; `wanted_path`: where they lie, or should; `fix`: why
    they cannot be loaded, and what to do."""

    def __init__(self, model: str, wanted_path: object, fix: str) -> None:
        self.model, self.wanted_path, self.fix = model, str(wanted_path), fix
        super().__init__(f"the model {model} cannot be loaded from {self.wanted_path}: {fix}")

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (self.model, self.wanted_path, self.fix)


class TemplateInvalid(HeliostatError):
    """A storage template that is no good: `template` and why."""

    def __init__(self, template: str, reason: str) -> None:
        self.template, self.reason = template, reason
        super().__init__(f"storage template {template}: {reason}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.template, self.reason)


class PathEscapes(HeliostatError):
    """`path` would leave `root`."""

    def __init__(self, path: object, root: object) -> None:
        self.path, self.root = str(path), str(root)
        super().__init__(f"{self.path} leaves {self.root}")


class LeaseLost(HeliostatError):
    """Another attempt holds the job; nothing of this one counts."""


class StateError(HeliostatError):
    """A job was told something its state does not know."""


class Refused(HeliostatError):
    """What a person asked for cannot be done; the message is for them."""


class NotAuthenticated(Refused):
    """No credentials, or wrong ones."""


class Forbidden(Refused):
    """Signed in, but not allowed."""


class NotFound(Refused):
    """A file or page that is not there."""


class BadRequest(Refused):
    """The request makes no sense here. `issues`: wire-style validation issues, when there are any."""

    def __init__(self, message: str, issues: Sequence[dict[str, object]] = ()) -> None:
        self.issues = tuple(issues)
        super().__init__(message)


class UploadTooLarge(Refused):
    """More than one upload may bring. `limit_mb`: what it may, in 1,000,000 bytes."""

    def __init__(self, limit_mb: int) -> None:
        self.limit_mb = limit_mb
        super().__init__(f"The upload is larger than this server takes: {limit_mb} MB")

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return type(self), (self.limit_mb,)


class Unavailable(Refused):
    """It could be done, but what it takes is not there now. Trying again later may help."""


class TooManyTries(Refused):
    """A secret was guessed too often. `wait_s`: until it may be tried again."""

    def __init__(self, wait_s: int) -> None:
        self.wait_s = wait_s
        super().__init__(f"Too many attempts, try again in {wait_s} seconds")

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return type(self), (self.wait_s,)

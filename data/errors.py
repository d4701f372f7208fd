"""What a user can mend. Each message says what was expected, what was found and what to do."""


class FaceprobeError(Exception):
    """Base of every expected error; a command prints it as one message and exits with 2."""


class ManifestError(FaceprobeError):
    """A table of images that cannot be used as it is."""


class SplitError(FaceprobeError):
    """Rows that cannot be split as asked, or a split that does not fit the rows."""


class BackboneError(FaceprobeError):
    """An unknown backbone, a missing weight file, or a graph that is not what its sidecar says."""


class StoreError(FaceprobeError):
    """An embedding store that cannot be read or written."""


class FingerprintMismatch(FaceprobeError):
    """Embeddings made with other settings than the ones asked for."""


class BundleError(FaceprobeError):
    """A bundle that is incomplete, altered or of another version."""


class DetectorError(FaceprobeError):
    """An unknown face detector, one that lacks a package or a file, or one that failed on a picture."""

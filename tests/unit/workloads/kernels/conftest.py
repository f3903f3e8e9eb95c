"""What the tests of the C kernels share."""

import pytest
import torch

from harness.system import native
from workloads.kernels import library


@pytest.fixture
def kernels():
    """Compile the kernels, and leave the process as it was."""
    library.build_with(native.load)
    if (reason := library.missing()) is not None:
        pytest.skip(reason)
    threads = torch.get_num_threads()
    with torch.inference_mode():
        yield
    torch.set_num_threads(threads)
    library.build_with(None)

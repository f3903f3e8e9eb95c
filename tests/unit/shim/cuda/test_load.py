"""The load by which an energy counter is probed, on the stand-in driver."""

from harness.devices.load import busy_cuda


def test_a_gpu_works_while_its_load_is_on_and_only_then(library, standin):
    """Kernels are launched again and again between on and off, and none is after off has returned."""
    with busy_cuda(0, library) as switch:
        idle = standin.standin_launches()
        switch(True)
        while standin.standin_launches() < idle + 20:
            pass
        switch(False)
        after = standin.standin_launches()
        assert after >= idle + 20
    assert standin.standin_launches() - after <= 1

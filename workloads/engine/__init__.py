"""From a workload and a setup to a step: build, compile, precision, inference, generation, and the job."""

"""C kernels for what torch's are slow at on the CPU: products of few rows with large matrices."""

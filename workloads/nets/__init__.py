"""Our own compact models, each readable in one sitting. They import torch; the workloads import them lazily."""

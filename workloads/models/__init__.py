"""Our own compact models, each readable in one sitting. They import torch; workloads import them lazily."""

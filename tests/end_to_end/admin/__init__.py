"""A package, so that the one system its tests share ends with them: two on one broker would share their queues."""

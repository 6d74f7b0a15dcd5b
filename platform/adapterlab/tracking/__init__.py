"""What a person looks at: MLflow runs, metrics, pictures. The only floor that imports mlflow.

The way of a number: a lane's epoch -> ``tracker.Run.metrics`` (returns at once) -> ``spool`` (on disk
before anything else) -> ``writer`` (one background thread, batches once per second) -> ``runs`` (finds or
creates the run, never a point twice) -> MLflow. ``store`` knows where MLflow is, ``schema``
makes its tables, ``names`` and ``pictures`` decide what a person reads, ``server`` and ``app`` show it.

Import the module you need; this package's own import costs nothing.
"""

"""What the steps of the pipeline share. Each module is one idea; none imports a script."""

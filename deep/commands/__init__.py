"""Commands of ``python -m deep``: each has ``add_arguments(parser)`` and ``run(arguments)``."""

"""The subcommands of ``realtime-mer``, one module each: ``add`` declares its arguments, ``run`` does the work and
returns the exit code."""

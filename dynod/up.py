"""`dynod up`: all processes of the platform in the foreground under one parent."""

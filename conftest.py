"""What the tests of all rooms need of the process that runs them."""

import signal

# A shell that starts the tests in the background has them ignore Ctrl-C, and the programs that they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

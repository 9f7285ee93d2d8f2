"""Which release this is; every change of the service gives it another name."""

RELEASE = "first"

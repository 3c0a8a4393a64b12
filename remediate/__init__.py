"""Find exposed medical-image archives, close them on the device, prove it, or take it back."""

__version__ = "0.1.0"

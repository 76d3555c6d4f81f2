"""How the gateway makes its state right after loss: rebuild and resend."""

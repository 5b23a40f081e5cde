"""The programs under judgement, viewers and devices, and the gateway that is played to them."""

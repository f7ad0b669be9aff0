# SPDX-License-Identifier: GPL-2.0-only
"""The lab: prepares a Debian 12 machine, builds the lab's images and boots them in QEMU."""

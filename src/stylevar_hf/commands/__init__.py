# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The subcommands of `stylevar`, one module each; none imports torch before it runs."""

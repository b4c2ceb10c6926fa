# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry: runs the migrations on the connection that the store put into the configuration's attributes."""

from alembic import context

from complaints.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
# The store's transaction is already open and stays its own to commit.
context.run_migrations()

"""What alembic runs: the migrations on the connection that `run.upgrade` made, one transaction each."""

from alembic import context

if __name__ == "env_py":  # as alembic calls it when it runs it; imported by others it does nothing
    context.configure(connection=context.config.attributes["connection"], transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()

"""What every platform process needs: settings, database, logs, clock, health."""

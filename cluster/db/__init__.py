"""SQL: the only place that knows engines, tables and statements."""

"""The whole system on one machine: PostgreSQL, RabbitMQ and the four services, on loopback only.

`local-stack` is the command line; `LocalPostgres`, `LocalRabbit` and `LocalStripe` are the parts, and tests use
them directly, each in a directory and on a port of its own.
"""

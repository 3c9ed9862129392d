"""What is kept for a while only."""

from world import World


def test_expired_keys_are_forgotten_and_living_ones_kept(world: World) -> None:
    bowl, user = world.product(), world.user()
    old, young = world.place(user, {bowl.sku: 1}), world.place(user, {bowl.sku: 1})
    world.sql("UPDATE idempotency_keys SET expires_at = now() WHERE key = :key", key=old.request.key)
    world.sql("INSERT INTO outbox (kind) VALUES ('upkeep.prune-idempotency-keys')")
    world.work("upkeep.prune-idempotency-keys")
    assert [row.key for row in world.sql("SELECT key FROM idempotency_keys")] == [young.request.key]


def test_keys_are_kept_for_72_hours(world: World) -> None:
    bowl = world.product()
    world.place(world.user(), {bowl.sku: 1})
    [[hours]] = world.sql("SELECT extract(epoch FROM expires_at - now()) / 3600 FROM idempotency_keys")
    assert 71.9 < hours <= 72

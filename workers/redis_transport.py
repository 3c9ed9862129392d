"""kombu's Redis transport, mended: in 5.7 a worker dies of a lost broker while it holds unacknowledged messages.

Closing the channel fails, because the broker is gone; the connection is taken from it; it is closed once more, wants to
give the messages back, and the AttributeError of asking a connection that is not there ends the node. Ours gives the
messages up: what they stood for is in the outbox, and comes again.
"""

from importlib.metadata import version
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis, virtual

# Whoever raises the version of kombu: try tests/e2e/test_lost_broker.py without this module first.
IS_NEEDED = version("kombu").startswith("5.7.")


class QoS(redis.QoS):
    """What a channel has delivered and nobody has acknowledged, with an answer for a channel that is closed already."""

    def ack(self, delivery_tag: str) -> None:
        if self._is_orphaned:
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if self._is_orphaned:
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().reject(delivery_tag, requeue)

    def restore_unacked(self, client: Any = None) -> None:
        if self._is_orphaned:
            delivered: Any = self._delivered
            delivered.clear()
        else:
            super().restore_unacked(client)

    @property
    def _is_orphaned(self) -> bool:
        transport: Any = self.channel.connection
        return transport is None or transport.client is None


class Channel(redis.Channel):
    QoS = QoS


class Transport(redis.Transport):
    Channel = Channel


def install() -> None:
    """Make URLs with redis:// and rediss:// mean this transport, in this process."""
    if IS_NEEDED:
        TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))
